// A map of features in the browser: drawn, panned, zoomed, searched, selected from; and the table that is its twin for
// who does not see it. Texts are data: they are only ever set as text. Asks nobody for anything but what `options` hold.
const WAYS = { cluster: "Cluster", layer: "Layer", source: "Source", density: "Density", score: "Score of the explanation", kind: "Kind of the explanation", method: "Who explained" }
const MOST_ROWS = 100, MOST_NAMED = 10, MOST_LISTED = 1000, SLOW = 350, CLOSEST = 400
const MODES = {
  pan: ["Move", "M12 3v18M3 12h18M12 3l-2.4 2.4M12 3l2.4 2.4M12 21l-2.4-2.4M12 21l2.4-2.4M3 12l2.4-2.4M3 12l2.4 2.4M21 12l-2.4-2.4M21 12l-2.4 2.4", "Drag to move; with Shift, drag around features to select them"],
  lasso: ["Lasso", "M12 5c5 0 8.5 2 8.5 5s-3.500 5-8.500 5-8.500-2-8.500-5 3.500-5 8.500-5zM7 14.500c-1.500 1-1.500 3.500.8 3.500 2 0 1.700 2-.3 3", "Drag around features to select them"],
  box: ["Box", "M4 5h16v14H4z", "Drag a box over features to select them"],
}

function make(tag, cls, text, attributes) {
  const node = document.createElement(tag)
  if (cls) node.className = cls
  if (text !== undefined) node.textContent = text
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value)
  return node
}

function svg(d) {
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "path")
  drawn.setAttribute("viewBox", "0 0 24 24"); drawn.setAttribute("aria-hidden", "true"); path.setAttribute("d", d)
  drawn.append(path)
  return drawn
}

const count = n => n.toLocaleString("en")
const share = v => v === 0 ? "0 %" : `${+(100 * v).toPrecision(3)} %`
const clamp = (v, low, high) => Math.max(low, Math.min(high, v))

// options: { buffer, texts() → Promise<buffer>, view: {x, y, zoom} | null, colour, q, at, href(key) → address or "", onView(view), onChange({colour, q}), onPick(key), onList(keys, name) or null, name }
function openMap(root, options) {
  const data = unpack(options.buffer), n = data.n
  const near = grid(data.xy, n)
  let texts = null, theme = "light", ground = [1, 1, 1], colour = "cluster", ways = [], query = options.q ?? "", only = null, mode = "pan"
  let x = 0, y = 0, zoom = 1, width = 0, height = 0, ended = false
  let chosen = null, chosenName = "", hits = null, hitCount = 0, hover = -1, at = -1, paint, shade, keys = null
  let frame = 0, settled = 0, laid = null, rows = []

  // -- what stands on the page ---------------------------------------------------------------------------------------
  root.replaceChildren()
  const map = make("div", "map"), bar = make("div", "tools"), stage = make("div", "stage", undefined, {
    tabindex: "0", role: "application", "aria-roledescription": "map",
    "aria-label": `Map of ${count(n)} features. Arrow keys move it, plus and minus zoom, 0 shows all of it. The table below lists what is in view.`,
  })
  const canvas = make("canvas"), marks = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  const outline = document.createElementNS("http://www.w3.org/2000/svg", "path")
  marks.setAttribute("class", "marks"); marks.setAttribute("aria-hidden", "true"); marks.append(outline)
  const ringAt = make("div", "ring at"), ringHover = make("div", "ring"), card = make("div", "card", undefined, { hidden: "" })
  const legend = make("div", "legend"), zooms = make("div", "zooms"), note = make("div", "note", undefined, { role: "status" })
  const world = make("div", "world")
  world.append(canvas, marks, ringHover, ringAt)
  stage.append(world, legend, zooms, note, card)
  const list = make("div", "list")
  map.append(bar, stage, list)
  root.append(map)

  const find = make("input", "in", undefined, { type: "search", placeholder: "Find: a word of what is said, or a token", "aria-label": "Highlight features by what is said of them and by their tokens", spellcheck: "false", autocomplete: "off", maxlength: "200" })
  find.value = query
  const found = make("span", "found", undefined, { role: "status" })
  const choose = make("label", "choose"), select = make("select", "in", undefined, { "aria-label": "Colour by" })
  choose.append(make("span", "", "Colour"), select)
  const modes = make("span", "seg", undefined, { role: "group", "aria-label": "What dragging does" })
  for (const [name, [label, d, about]] of Object.entries(MODES)) {
    const button = make("button", "", undefined, { type: "button", "data-tip": about, "aria-pressed": String(name === mode), "data-mode": name })
    button.append(svg(d), make("span", "", label))
    button.onclick = () => setMode(name)
    modes.append(button)
  }
  const searching = make("span", "searching")
  searching.append(find, found)
  bar.append(searching, choose, modes)
  for (const [sign, about, act] of [["+", "Zoom in", () => zoomBy(1.6)], ["−", "Zoom out", () => zoomBy(1 / 1.6)], ["⤢", "Show all", () => fit()]]) {
    const button = make("button", "", sign, { type: "button", "aria-label": about, "data-tip": about })
    button.onclick = act
    zooms.append(button)
  }

  // -- places --------------------------------------------------------------------------------------------------------
  // `x`, `y`: the point of the map, -1 to 1, in the middle of the stage; a pixel is 1 / scale().
  let ex = .05, ey = .05  // how far points reach from the middle
  for (let i = 0; i < n; i++) { ex = Math.max(ex, Math.abs(data.xy[2 * i] / 65535 * 2 - 1)); ey = Math.max(ey, Math.abs(data.xy[2 * i + 1] / 65535 * 2 - 1)) }
  const scale = () => zoom * Math.min((width - 60) / ex, (height - 60) / ey) / 2
  const unit = v => v / 65535 * 2 - 1, step = v => (v + 1) / 2 * 65535
  const toScreen = (px, py) => [(px - x) * scale() + width / 2, height / 2 - (py - y) * scale()]
  const toMap = (sx, sy) => [(sx - width / 2) / scale() + x, (height / 2 - sy) / scale() + y]
  const screenOf = point => toScreen(unit(data.xy[2 * point]), unit(data.xy[2 * point + 1]))
  const size = () => clamp(.6 * Math.sqrt(width * height / Math.max(n, 1)), 2, 6.5) * clamp(zoom ** .3, 1, 2.2)

  function go(nx, ny, nz, quiet) {
    zoom = clamp(nz, .5, CLOSEST); x = clamp(nx, -1.3, 1.3); y = clamp(ny, -1.3, 1.3)
    if (!quiet) { clearTimeout(settled); settled = setTimeout(settle, SLOW) }
    ask()
  }
  const zoomBy = (by, sx = width / 2, sy = height / 2) => {
    const [mx, my] = toMap(sx, sy), nz = clamp(zoom * by, .5, CLOSEST), s = nz / zoom * scale()
    go(mx - (sx - width / 2) / s, my - (height / 2 - sy) / s, nz)
  }
  const fit = () => go(0, 0, 1)
  function showPoints(points) {
    let x0 = 2, x1 = -2, y0 = 2, y1 = -2
    for (const p of points) { const px = unit(data.xy[2 * p]), py = unit(data.xy[2 * p + 1]); x0 = Math.min(x0, px); x1 = Math.max(x1, px); y0 = Math.min(y0, py); y1 = Math.max(y1, py) }
    const room = Math.min((width - 90) / Math.max(x1 - x0, 1e-3), (height - 90) / Math.max(y1 - y0, 1e-3))
    go((x0 + x1) / 2, (y0 + y1) / 2, clamp(room / (scale() / zoom), 1, 60))
  }
  function settle() {
    options.onView?.({ x: +x.toFixed(4), y: +y.toFixed(4), zoom: +zoom.toPrecision(4) })
    if (!chosen && !hits) table()
  }

  // -- drawing -------------------------------------------------------------------------------------------------------
  const order = new Uint32Array(n)  // shuffled, so that no source covers another
  for (let i = 0, seed = 7; i < n; i++) { seed = (seed * 1664525 + 1013904223) >>> 0; const j = seed % (i + 1); order[i] = order[j]; order[j] = i }
  const shuffled = new Uint16Array(2 * n), rgba = new Uint8Array(4 * n)
  for (let k = 0; k < n; k++) { shuffled[2 * k] = data.xy[2 * order[k]]; shuffled[2 * k + 1] = data.xy[2 * order[k] + 1] }

  const lit = point => chosen ? chosen[point] : hits ? hits[point] : only === null || shade.of(point) === only
  function recolour() {
    shade = colouring(data, colour, theme)
    const grey = theme === "dark" ? [92, 99, 105] : [176, 178, 176], some = chosen || hits || only !== null
    const full = n > 100000 ? 190 : 225, dim = theme === "dark" ? 74 : 84
    const top = []
    for (let k = 0; k < n; k++) {
      const i = order[k], number = shade.of(i), on = !some || lit(i)
      const [r, g, b] = on && number >= 0 ? shade.colours[number] : grey
      rgba[4 * k] = r; rgba[4 * k + 1] = g; rgba[4 * k + 2] = b; rgba[4 * k + 3] = on ? (number >= 0 ? full : 150) : dim
      if (some && on) top.push(k)
    }
    paint.put("all", null, rgba)
    const xy = new Uint16Array(2 * top.length), own = new Uint8Array(4 * top.length)
    top.forEach((k, t) => {
      xy[2 * t] = shuffled[2 * k]; xy[2 * t + 1] = shuffled[2 * k + 1]
      own.set(rgba.subarray(4 * k, 4 * k + 3), 4 * t); own[4 * t + 3] = 255
    })
    paint.put("lit", xy, own)
    drawLegend()
    laid = null
    ask()
  }
  const ask = () => { if (!frame && !ended) frame = requestAnimationFrame(draw) }
  function draw() {
    frame = 0
    if (!width || ended) return
    const ratio = Math.min(2, devicePixelRatio || 1), points = size()
    lay()
    paint.draw({ width, height, ratio, x, y, scale: scale(), ground, sizes: { all: points, lit: points * 1.25 + .6 } })
    ring(ringAt, at); ring(ringHover, hover)
    if (!root.dataset.drawn) root.dataset.drawn = "true"
  }
  function ring(node, point) {
    if (point < 0) { if (node.style.display !== "none") node.style.display = "none"; return }
    const [sx, sy] = screenOf(point)
    node.style.display = "block"
    node.style.transform = `translate(${sx.toFixed(1)}px, ${sy.toFixed(1)}px)`
  }

  // -- names: of the largest clusters first, each where it covers no other; closer, smaller ones find room ----------------
  const family = getComputedStyle(map).fontFamily
  const reach = data.clusters.map(() => [0, 0])
  for (let level = 0; level < data.levels; level++) for (let i = 0; i < n; i++) {
    const id = data.cluster(level, i)
    if (id < 0) continue
    const one = data.clusters[id]
    reach[id][0] += Math.abs(unit(data.xy[2 * i]) - one.x) + Math.abs(unit(data.xy[2 * i + 1]) - one.y); reach[id][1]++
  }
  const spread = reach.map(([sum, many]) => many ? sum / many : 0)
  const ranked = data.clusters.map((_, id) => id).filter(id => data.clusters[id].label).sort((a, b) => data.clusters[a].level - data.clusters[b].level || data.clusters[b].size - data.clusters[a].size)
  let names = []
  const measure = document.createElement("canvas").getContext("2d"), widths = new Map()
  const font = level => `${[660, 600, 520][level] ?? 520} ${[14, 12.5, 11.5][level] ?? 11.5}px ${family}`
  function widthOf(id) {
    if (!widths.has(id)) { measure.font = font(data.clusters[id].level); widths.set(id, Math.ceil(measure.measureText(data.clusters[id].label).width) + 14) }
    return widths.get(id)
  }
  function lay() {
    if (laid && laid.zoom === zoom && laid.colour === shade && laid.width === width && Math.hypot(laid.x - x, laid.y - y) * scale() < 60) return
    laid = { zoom, x, y, colour: shade, width }
    const s = scale(), most = clamp(width * height / 22000, 8, 46), dark = theme === "dark", taken = []
    const over = (a, b) => a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1]
    for (const id of ranked) {
      if (taken.length >= most) break
      const one = data.clusters[id], extent = 2 * spread[id] * s
      if (extent < 34 - 8 * one.level || extent > 1.6 * Math.min(width, height)) continue
      const [sx, sy] = toScreen(one.x, one.y)
      const w = widthOf(id), h = [23, 21, 20][one.level] ?? 20
      if (sx < w / 2 - 30 || sy < h / 2 || sx > width - w / 2 + 30 || sy > height - h / 2) continue
      const box = [sx - w / 2, sy - h / 2, sx + w / 2, sy + h / 2]
      if (taken.some(other => over(box, other.box) || (other.text === one.label && Math.hypot(other.sx - sx, other.sy - sy) < 220))) continue
      const own = shade.of_cluster?.(id), ink = own ? own.map((v, i) => Math.round(.55 * v + .45 * (dark ? [231, 232, 233] : [29, 31, 33])[i])) : dark ? [231, 232, 233] : [29, 31, 33]
      taken.push({ id, sx, sy, box, text: one.label, x: one.x, y: one.y, w, h, font: font(one.level), ink: `rgb(${ink.join(" ")})`, ground: `rgb(${ground.map(v => Math.round(255 * v)).join(" ")} / .78)` })
    }
    names = taken
    paint.names(names, Math.min(2, devicePixelRatio || 1))
  }
  const nameAt = (sx, sy) => names.find(one => { const [px, py] = toScreen(one.x, one.y); return Math.abs(px - sx) < one.w / 2 && Math.abs(py - sy) < one.h / 2 })

  // -- legend --------------------------------------------------------------------------------------------------------
  function drawLegend() {
    legend.replaceChildren()
    const made = shade.legend
    legend.hidden = !made || (Array.isArray(made) && made.length < 2)
    if (legend.hidden) return
    if (!Array.isArray(made)) {
      const ends = [made.low, made.high].map(v => made.log ? share(10 ** v) : v.toFixed(2)), strip = make("i", "ramp")
      strip.style.background = `linear-gradient(90deg, ${made.colours.map(c => `rgb(${c.join(" ")})`).join(",")})`
      legend.append(make("span", "", ends[0]), strip, make("span", "", ends[1]))
      return
    }
    for (const [name, own, number] of made) {
      const button = make("button", "", undefined, { type: "button", "aria-pressed": String(only === number), "data-tip": "Show only these in colour" }), dot = make("i")
      dot.style.background = `rgb(${own.join(" ")})`
      button.append(dot, make("span", "", name))
      button.onclick = () => { only = only === number ? null : number; recolour() }
      legend.append(button)
    }
  }

  // -- search --------------------------------------------------------------------------------------------------------
  function search() {
    const wanted = query.toLowerCase().split(/\s+/).filter(Boolean)
    if (!wanted.length || !texts) { hits = null; hitCount = 0; found.replaceChildren(); if (wanted.length) found.textContent = "Reading…"; return }
    hits = new Uint8Array(n); hitCount = 0
    for (let i = 0; i < n; i++) {
      const text = keys[i]
      if (wanted.every(word => text.includes(word))) { hits[i] = 1; hitCount++ }
    }
    found.replaceChildren(make("span", "", hitCount ? `${count(hitCount)} found` : "None has that"))
    if (hitCount) {
      const take = make("button", "act", "Select them", { type: "button" })
      take.onclick = () => { const own = hits.slice(); selectThese(own, query.trim()) }
      found.append(take)
    }
  }
  let typing = 0
  find.oninput = () => { clearTimeout(typing); typing = setTimeout(() => { setQuery(find.value); options.onChange?.({ q: query.trim(), colour }) }, 180) }
  find.onkeydown = event => { if (event.key === "Enter" && hitCount) showPoints([...points(hits)]) }
  function setQuery(text) { query = text; search(); recolour(); table() }
  function* points(set) { for (let i = 0; i < n; i++) if (set[i]) yield i }

  // -- selecting -----------------------------------------------------------------------------------------------------
  function setMode(name) {
    mode = name
    stage.dataset.mode = mode
    for (const button of modes.children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode))
  }
  function selectThese(set, name = "") {
    let any = false
    for (let i = 0; i < n && !any; i++) any = !!set?.[i]
    chosen = any ? set : null
    chosenName = any ? name : ""
    note.textContent = any ? "" : set ? "Nothing lies there" : ""
    clearTimeout(note.gone); note.gone = setTimeout(() => { note.textContent = "" }, 1800)
    recolour(); table()
  }
  function pickCluster(id) {
    const one = data.clusters[id], set = new Uint8Array(n)
    for (let i = 0; i < n; i++) if (data.cluster(one.level, i) === id) set[i] = 1
    selectThese(set, one.label)
  }
  function selectShape(path) {
    const xs = path.map(p => p[0]), ys = path.map(p => p[1])
    const [x0, y1] = toMap(Math.min(...xs), Math.min(...ys)), [x1, y0] = toMap(Math.max(...xs), Math.max(...ys))
    const polygon = path.map(([sx, sy]) => toMap(sx, sy).map(step)), set = new Uint8Array(n)
    near.within(step(x0), step(y0), step(x1), step(y1), (i, px, py) => { if (inside(polygon, px, py)) set[i] = 1 })
    selectThese(set, common(set))
  }
  // The label that most of a selection has.
  function common(set) {
    const seen = new Map()
    let many = 0
    for (const i of points(set)) {
      many++
      for (let level = 0; level < data.levels; level++) { const id = data.cluster(level, i); if (id >= 0) seen.set(id, (seen.get(id) ?? 0) + 1) }
    }
    const best = [...seen].filter(([id, own]) => data.clusters[id].label && 2 * own > many).sort((a, b) => data.clusters[b[0]].level - data.clusters[a[0]].level || b[1] - a[1])[0]
    return best ? data.clusters[best[0]].label : ""
  }

  // -- pointer -------------------------------------------------------------------------------------------------------
  const fingers = new Map()
  let moved = false, shape = null, last = null, pinch = 0
  let corner = null  // of the stage; asking for it at every move would lay the page out at every move
  const where = event => { corner ??= stage.getBoundingClientRect(); return [event.clientX - corner.left - 4, event.clientY - corner.top - 4] }
  const uncorner = () => { corner = null }
  addEventListener("scroll", uncorner, true); addEventListener("resize", uncorner); stage.addEventListener("pointerenter", uncorner)
  stage.addEventListener("pointerdown", event => {
    if (event.button !== 0 || event.target.closest(".zooms, .legend, .card")) return
    corner = null
    fingers.set(event.pointerId, where(event))
    moved = false; pinch = 0
    last = where(event)
    shape = fingers.size === 1 && (mode !== "pan" || event.shiftKey) ? [last] : null
    if (shape) event.preventDefault()
    card.hidden = true; hover = -1
  })
  addEventListener("pointermove", onMove); addEventListener("pointerup", onUp); addEventListener("pointercancel", onUp)
  function onMove(event) {
    if (!fingers.has(event.pointerId)) { if (event.pointerType !== "touch" && !fingers.size) look(event); return }
    const now = where(event), [px, py] = fingers.get(event.pointerId)
    fingers.set(event.pointerId, now)
    if (!moved && Math.hypot(now[0] - last[0], now[1] - last[1]) > 4) { moved = true; stage.setPointerCapture?.(event.pointerId); stage.classList.add("moving") }
    if (!moved) return
    if (fingers.size === 2) {
      shape = null; outline.setAttribute("d", "")
      const [a, b] = [...fingers.values()], apart = Math.hypot(a[0] - b[0], a[1] - b[1]), middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]
      if (pinch) { zoomBy(apart / pinch[0], ...middle); go(x - (middle[0] - pinch[1]) / scale(), y + (middle[1] - pinch[2]) / scale(), zoom) }
      pinch = [apart, ...middle]
    } else if (shape) {
      const [first] = shape, far = shape.at(-1)
      if (mode === "box") shape = [first, [now[0], first[1]], now, [first[0], now[1]]]
      else if (Math.hypot(now[0] - far[0], now[1] - far[1]) > 3) shape.push(now)
      outline.setAttribute("d", "M" + shape.map(p => p.map(v => v.toFixed(1)).join(" ")).join("L") + "Z")
    } else go(x - (now[0] - px) / scale(), y + (now[1] - py) / scale(), zoom)
  }
  function onUp(event) {
    if (!fingers.delete(event.pointerId)) return
    pinch = 0
    stage.classList.remove("moving")
    if (shape && shape.length > 2) selectShape(shape)
    else if (!moved && event.type === "pointerup") {
      const name = nameAt(...where(event)), point = nearest(...where(event), event.pointerType === "touch" ? 22 : 9)
      if (name) pickCluster(name.id)
      else if (point >= 0) pick(point)
      else if (chosen && mode === "pan") selectThese(null)
    }
    shape = null
    outline.setAttribute("d", "")
    setTimeout(() => { moved = false })
  }
  stage.addEventListener("wheel", event => { event.preventDefault(); zoomBy(Math.exp(-clamp(event.deltaY * (event.deltaMode ? 24 : 1), -180, 180) * .0028), ...where(event)) }, { passive: false })
  stage.addEventListener("dblclick", event => { if (!event.target.closest(".zooms, .legend")) zoomBy(2, ...where(event)) })
  stage.addEventListener("pointerleave", () => { if (hover >= 0) { hover = -1; card.hidden = true; ask() } })
  stage.addEventListener("keydown", event => {
    if (event.target !== stage || event.ctrlKey || event.metaKey || event.altKey) return
    const by = 80 / scale()
    const act = {
      ArrowLeft: () => go(x - by, y, zoom), ArrowRight: () => go(x + by, y, zoom), ArrowUp: () => go(x, y + by, zoom), ArrowDown: () => go(x, y - by, zoom),
      "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), 0: fit, Home: fit,
      Escape: () => { card.hidden = true; if (chosen) selectThese(null) }, s: () => selectShape([[0, 0], [width, 0], [width, height], [0, height]]),
    }[event.key]
    if (act) { event.preventDefault(); act() }
  })

  function nearest(sx, sy, within) {
    const [mx, my] = toMap(sx, sy), far = within / scale()
    let best = -1, least = Infinity
    near.within(step(mx - far), step(my - far), step(mx + far), step(my + far), (i, px, py) => {
      const d = (unit(px) - mx) ** 2 + (unit(py) - my) ** 2 + ((chosen || hits) && !lit(i) ? far * far * .5 : 0)
      if (d < least) { least = d; best = i }
    })
    return Math.sqrt(least) <= far ? best : -1
  }
  let looking = 0, looked
  function look(event) {
    looked = event
    if (looking || ended) return
    looking = requestAnimationFrame(() => {
      looking = 0
      const on = looked.composedPath().includes(stage) && !looked.composedPath().some(node => node.classList?.contains("zooms") || node.classList?.contains("legend") || node.classList?.contains("card"))
      const name = on && nameAt(...where(looked)), point = on && !name ? nearest(...where(looked), 9) : -1
      stage.classList.toggle("pointing", point >= 0 || !!name)
      if (point === hover) return
      hover = point
      point < 0 ? card.hidden = true : tell(point)
      ask()
    })
  }
  const nameOf = point => texts?.[point]?.[0] || `feature ${data.index[point]}`
  function tell(point) {
    const [sx, sy] = screenOf(point), [label, promotes, line] = texts?.[point] ?? ["", "", ""]
    card.replaceChildren(make("b", "", label || `feature ${data.index[point]}`))
    card.append(make("span", "where", `${data.sources[data.source[point]].short} · ${data.index[point]}`))
    if (line) card.append(make("p", "", line))
    if (promotes) { const row = make("p", "soft"); row.append(make("span", "", "raises "), make("span", "mono", promotes)); card.append(row) }
    card.append(make("p", "soft", figures(point)))
    card.hidden = false
    const w = card.offsetWidth, h = card.offsetHeight
    const left = sx + 16 + w < width ? sx + 16 : Math.max(6, sx - w - 16)
    card.style.transform = `translate(${left.toFixed(0)}px, ${clamp(sy - h / 2, 6, Math.max(6, height - h - 6)).toFixed(0)}px)`
  }
  const density = point => data.density[point] ? 10 ** (data.density_low * (1 - (data.density[point] - 1) / 254)) : null
  const score = point => data.score[point] ? (data.score[point] - 1) / 254 : null
  function figures(point) {
    const parts = []
    if (density(point) !== null) parts.push(`active on ${share(+density(point).toPrecision(2))} of tokens`)
    if (score(point) !== null) parts.push(`score ${score(point).toFixed(2)}`)
    return parts.join(" · ")
  }
  function pick(point) {
    at = point
    ask()
    options.onPick?.(point < 0 ? "" : data.key(point))
  }

  // -- the table: what is selected, found, or in view ------------------------------------------------------------------
  function viewed() {
    const set = []
    const [x0, y1] = toMap(0, 0), [x1, y0] = toMap(width, height)
    near.within(step(x0), step(y0), step(x1), step(y1), i => set.push(i))
    return set
  }
  function table() {
    if (ended || !width) return
    const what = chosen ? "selected" : hits ? "found" : "in view"
    const all = chosen ? [...points(chosen)] : hits ? [...points(hits)] : viewed()
    rows = all
    const some = all.length > MOST_ROWS ? all.slice().sort((a, b) => (data.score[b] - data.score[a]) || a - b).slice(0, MOST_ROWS) : all
    list.replaceChildren()
    const head = make("div", "head"), title = make("div", "title")
    title.append(make("b", "", count(all.length)), make("span", "", ` ${all.length === 1 ? "feature" : "features"} ${what}`))
    if (chosenName) title.append(make("span", "name", chosenName))
    if (some.length < all.length) title.append(make("span", "soft", `the ${count(some.length)} with the best scores are shown`))
    head.append(title, acts(all))
    list.append(head)
    if (!chosen && !hits) list.append(clustersOf(all))
    if (!all.length) { list.append(make("p", "soft", "Nothing. Zoom out, or search for something else.")); return }
    const frame = make("div", "rows", undefined, { role: "region", "aria-label": `Features ${what}`, tabindex: "0" })
    const drawn = make("table"), top = make("tr")
    for (const [name, cls] of [["feature", ""], ["what is said of it", "wide"], ["density", "n"], ["score", "n"]]) top.append(make("th", cls, name, { scope: "col" }))
    const headed = make("thead"), body = make("tbody")
    headed.append(top); drawn.append(headed, body)
    for (const point of some) body.append(row(point))
    frame.append(drawn)
    list.append(frame)
  }
  // The clusters in view by name, for who selects them without pointing at the map.
  function clustersOf(all) {
    const seen = new Map(), line = make("div", "clusters", undefined, { role: "group", "aria-label": "Clusters in view" })
    for (const point of all) for (let level = 0; level < data.levels; level++) { const id = data.cluster(level, point); if (id >= 0) seen.set(id, (seen.get(id) ?? 0) + 1) }
    const whole = [...seen].filter(([id, own]) => data.clusters[id].label && 2 * own > data.clusters[id].size).map(([id]) => id)
    const sorted = whole.sort((a, b) => data.clusters[a].level - data.clusters[b].level || data.clusters[b].size - data.clusters[a].size)
    const first = [...new Map(sorted.toReversed().map(id => [data.clusters[id].label, id])).values()].toReversed().slice(0, MOST_NAMED)
    for (const id of first) {
      const one = data.clusters[id], button = make("button", "cluster", undefined, { type: "button", "data-tip": `Select these ${count(one.size)} features` })
      button.append(make("span", "", one.label), make("small", "", count(one.size)))
      button.onclick = () => pickCluster(id)
      line.append(button)
    }
    return line
  }
  function row(point) {
    const line = make("tr", point === at ? "at" : ""), first = make("td"), name = make("button", "name", nameOf(point), { type: "button" })
    name.onclick = () => { showOne(point); pick(point); for (const other of line.parentElement.children) other.classList.toggle("at", other === line) }
    first.append(name, make("span", "where", ` ${data.sources[data.source[point]].short} · ${data.index[point]}`))
    const d = density(point), v = score(point)
    line.append(first, make("td", "wide", texts?.[point]?.[2] ?? ""), make("td", "n", d === null ? "–" : share(+d.toPrecision(2))), make("td", "n", v === null ? "–" : v.toFixed(2)))
    line.onmouseenter = () => { hover = point; ask() }
    line.onmouseleave = () => { hover = -1; ask() }
    return line
  }
  function showOne(point) {
    const [sx, sy] = screenOf(point)
    if (sx < 20 || sy < 20 || sx > width - 20 || sy > height - 20) go(unit(data.xy[2 * point]), unit(data.xy[2 * point + 1]), zoom)
  }
  function acts(all) {
    const row = make("div", "acts")
    const put = (text, about, act, cls = "btn") => { const b = make("button", cls, text, { type: "button", ...(about ? { "data-tip": about } : {}) }); b.onclick = act; row.append(b); return b }
    if (options.onList && (chosen || hits) && all.length) {
      const many = all.length > MOST_LISTED, about = many ? `A list holds ${count(MOST_LISTED)} features; select fewer` : "Keep them under a name, to share"
      put("Make a list", about, () => options.onList(all.map(data.key), chosenName || query.trim()), "btn p").disabled = many
    }
    if (all.length) {
      const stem = `map-${(chosenName || query.trim() || "view").replace(/[^\p{L}\d]+/gu, "-").slice(0, 40)}`
      put("CSV", "These features as a table", () => save(`${stem}.csv`, "text/csv", csv(all)))
      put("JSON", "These features with what is said of them and where they lie", () => save(`${stem}.json`, "application/json", JSON.stringify(records(all), null, 1)))
      const copy = put("Copy ids", "", () => {})
      copy.setAttribute("data-copy", all.map(data.key).join("\n"))
      if (options.alone) copy.onclick = () => navigator.clipboard.writeText(copy.dataset.copy).then(() => { copy.textContent = "Copied ✓" }, () => {})
    }
    if (chosen || hits) put("Zoom to them", "", () => showPoints(all))
    if (chosen) put("Clear", "Also Escape, on the map", () => selectThese(null))
    return row
  }
  const records = all => all.map(point => ({
    feature: data.key(point), label: texts?.[point]?.[0] ?? "", explanation: texts?.[point]?.[2] ?? "", promotes: texts?.[point]?.[1] ?? "",
    density: density(point), score: score(point), x: +unit(data.xy[2 * point]).toFixed(4), y: +unit(data.xy[2 * point + 1]).toFixed(4),
    clusters: Array.from({ length: data.levels }, (_, level) => data.cluster(level, point)).filter(id => id >= 0).map(id => data.clusters[id].label),
  }))
  function csv(all) {
    // a cell that begins like a formula is one to a spreadsheet; a quote before it makes it text
    const cell = value => { const text = String(value ?? ""), safe = /^[=+\-@\t\r]/.test(text) && typeof value !== "number" ? `'${text}` : text; return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe }
    const names = ["feature", "label", "explanation", "promotes", "density", "score", "x", "y", "clusters"]
    return [names.join(","), ...records(all).map(one => names.map(name => cell(name === "clusters" ? one.clusters.join(" / ") : one[name])).join(","))].join("\n") + "\n"
  }
  function save(name, type, text) {
    const link = make("a", "", undefined, { href: URL.createObjectURL(new Blob([text], { type })), download: name })
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 5000)
  }

  // -- life ----------------------------------------------------------------------------------------------------------
  function setColour(name) {
    colour = ways.includes(name) ? name : ways[0]
    only = null
    select.value = colour
    recolour()
  }
  select.onchange = () => { setColour(select.value); options.onChange?.({ colour, q: query.trim() }) }
  function dress() {  // light or dark, as the text's colour says
    if (!map.isConnected) return
    const [r, g, b] = getComputedStyle(map).color.match(/[\d.]+/g).map(Number)
    const now = r + g + b > 384 ? "dark" : "light"
    if (now === theme && shade) return
    theme = now
    ground = getComputedStyle(world).backgroundColor.match(/[\d.]+/g).slice(0, 3).map(v => v / 255)
    recolour()
  }
  function fitStage() {
    const box = world.getBoundingClientRect()
    corner = null
    if (!box.width || (box.width === width && box.height === height)) return
    width = box.width; height = box.height
    marks.setAttribute("viewBox", `0 0 ${width} ${height}`)
    laid = null
    ask()
    clearTimeout(fitStage.later); fitStage.later = setTimeout(() => { if (!chosen && !hits) table() }, 60)
  }
  paint = painter(canvas)
  if (!paint) { stage.replaceChildren(make("p", "soft", "This browser draws no WebGL 2, which the map needs. The table lists the features all the same.")); paint = { put() {}, names() {}, draw() {}, restore() {}, end() {} } }
  ways = Object.keys(WAYS).filter(way => way === "cluster" ? data.clusters.length : way === "source" ? data.sources.length > 1
    : way === "layer" ? new Set(data.sources.map(one => one.layer)).size > 1 : way === "density" ? true
    : way === "score" ? data.score.some(v => v) : data[way + "s"].length > 1)
  for (const way of ways) select.append(make("option", "", WAYS[way], { value: way }))
  paint.put("all", shuffled, rgba)
  paint.put("lit", new Uint16Array(0), new Uint8Array(0))
  paint.restore(() => { paint.put("all", shuffled, rgba); recolour() })
  const watch = new ResizeObserver(fitStage), themed = new MutationObserver(dress), media = matchMedia("(prefers-color-scheme: dark)")
  if (options.at) { for (let i = 0; i < n; i++) if (data.key(i) === options.at) { at = i; break } }
  if (options.view) { x = options.view.x; y = options.view.y; zoom = options.view.zoom }
  const usual = ways.includes("layer") ? "layer" : ways[0]
  colour = ways.includes(options.colour) ? options.colour : usual
  select.value = colour
  setMode("pan")
  fitStage()
  dress()
  watch.observe(stage)
  for (const node of [document.documentElement, document.body, document.querySelector(".stApp")]) if (node) themed.observe(node, { attributes: true, attributeFilter: ["class", "style", "data-theme"] })
  media.addEventListener("change", dress)
  if (at >= 0 && !options.view) { zoom = clamp(Math.sqrt(n / 400), 2, 12); x = unit(data.xy[2 * at]); y = unit(data.xy[2 * at + 1]) }
  options.texts().then(said).then(found => {
    if (ended) return
    texts = found
    keys = found.map(three => three.join("\n").toLowerCase())
    search(); recolour(); table()
    root.dataset.ready = "true"
  }).catch(() => { note.textContent = "What is said of the features could not be had. Reload the page." })

  return {
    data,
    get state() { return { x, y, zoom, colour, q: query.trim(), at: at < 0 ? "" : data.key(at), chosen: chosen ? [...points(chosen)].length : 0, width, height } },
    get look() { return { size: size(), scale: scale(), width, height } },
    screen: screenOf,  // of a point, by its number
    move: (nx, ny, nz) => go(nx, ny, nz),
    // What an address says, when one goes back to it.
    follow({ view, colour: way, q, at: key }) {
      if (view) go(view.x, view.y, view.zoom, true); else go(0, 0, 1, true)
      if (q !== query.trim()) { find.value = q; query = q; search() }
      at = -1
      if (key) for (let i = 0; i < n; i++) if (data.key(i) === key) { at = i; break }
      setColour(way || usual); table()
    },
    end() {
      ended = true
      cancelAnimationFrame(frame)
      watch.disconnect(); themed.disconnect(); media.removeEventListener("change", dress)
      removeEventListener("scroll", uncorner, true); removeEventListener("resize", uncorner)
      removeEventListener("pointermove", onMove); removeEventListener("pointerup", onUp); removeEventListener("pointercancel", onUp)
      paint.end()
    },
  }
}

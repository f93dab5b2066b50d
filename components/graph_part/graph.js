// An attribution graph: drawn by token and layer, walked by pointer or arrow keys, edited in the page's address.
const SVG = "http://www.w3.org/2000/svg", FAINT = 160, LISTED = 12

const make = (name, more = {}, ...inner) => {
  const one = document.createElement(name)
  for (const [key, value] of Object.entries(more)) {
    if (key.startsWith("on")) one.addEventListener(key.slice(2), value)
    else if (value !== null && value !== undefined && value !== false) one.setAttribute(key, value === true ? "" : value)
  }
  one.append(...inner.filter(part => part !== null && part !== undefined))
  return one
}
const draw = (name, more = {}, text = null) => {
  const one = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(more)) one.setAttribute(key, value)
  if (text !== null) one.textContent = text
  return one
}
const parse = (text, otherwise) => { try { return text ? JSON.parse(text) : otherwise } catch { return otherwise } }
const listed = value => Array.isArray(value) ? value : []
const texts = value => listed(value).filter(one => typeof one === "string")
const short = (text, most) => text.length > most ? text.slice(0, most - 1) + "…" : text
const figure = value => Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 1 ? value.toFixed(2) : value.toPrecision(2)

// What a person made of it: from the address, or where that says nothing from the file.
function asked(file) {
  const query = new URLSearchParams(location.search), own = file.qParams ?? {}
  const has = name => query.has(name)
  return {
    at: has("clickedId") ? query.get("clickedId") : own.clickedId ?? "",
    pinned: new Set(has("pinnedIds") ? query.get("pinnedIds").split(",").filter(Boolean) : texts(own.pinnedIds)),
    groups: listed(has("supernodes") ? parse(query.get("supernodes"), []) : own.supernodes)
      .filter(one => Array.isArray(one) && one.length > 1).map(one => ({ name: String(one[0]), ids: texts(one.slice(1)) })),
    labels: new Map(listed(parse(query.get("clerps"), [])).filter(one => Array.isArray(one) && one.length === 2).map(one => one.map(String))),
  }
}

class Graph {
  constructor(root, data, fire) {
    this.root = root; this.data = data; this.fire = fire
    this.file = data.file; this.tokens = this.file.metadata.prompt_tokens
    this.state = asked(this.file); this.chosen = new Set(); this.hover = null
    this.nodes = new Map()
    for (const one of this.file.nodes) {
      const kind = one.feature_type === "embedding" ? "token" : one.feature_type === "logit" ? "logit" : one.feature_type.includes("error") ? "error" : "feature"
      this.nodes.set(one.node_id, { ...one, kind, ins: [], outs: [] })
    }
    for (const link of this.file.links) {
      const source = this.nodes.get(link.source), target = this.nodes.get(link.target)
      if (!source || !target) continue
      const edge = { source, target, weight: link.weight }
      source.outs.push(edge); target.ins.push(edge)
    }
    for (const one of this.nodes.values()) {
      one.total = one.ins.reduce((sum, edge) => sum + Math.abs(edge.weight), 0) || 1
      for (const edge of one.ins) edge.share = Math.abs(edge.weight) / one.total
      one.ins.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
    }
    for (const one of this.nodes.values()) one.outs.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
    if (!this.nodes.has(this.state.at)) this.state.at = ""
    this.build()
    this.observer = new ResizeObserver(() => { if (this.plot.clientWidth !== this.width) this.lay() })
    this.observer.observe(this.plot)
  }

  end() { this.observer.disconnect() }

  label(one) {
    const own = this.state.labels.get(one.node_id)
    if (own) return own
    const said = this.tokens[one.ctx_idx] ?? ""
    if (one.kind === "token") return `“${said}”`
    if (one.kind === "error") return `what is left out at “${said}”`
    if (one.kind === "logit") return one.clerp || "next token"
    return one.clerp || `feature ${this.index(one)}`
  }
  index(one) { const parts = one.node_id.split("_"); return parts.length === 3 ? parts[1] : String(one.feature) }
  place(one) {
    const said = this.tokens[one.ctx_idx] ?? ""
    if (one.kind === "logit") return "next token"
    return `${one.kind === "token" ? "token" : one.kind === "error" ? `error of layer ${one.layer}` : `layer ${one.layer} · ${this.index(one)}`} at “${said}” (${one.ctx_idx})`
  }

  // -- the address ----------------------------------------------------------------------------------------------------

  say(step = false) {
    const { at, pinned, groups, labels } = this.state, url = new URL(location.href)
    if (url.pathname !== "/graph") return
    const own = this.file.qParams ?? {}, set = (name, value, otherwise) => value === otherwise ? url.searchParams.delete(name) : url.searchParams.set(name, value)
    set("clickedId", at, own.clickedId ?? "")
    set("pinnedIds", [...pinned].join(","), texts(own.pinnedIds).join(","))
    set("supernodes", JSON.stringify(groups.map(one => [one.name, ...one.ids])), JSON.stringify(own.supernodes ?? []))
    set("clerps", JSON.stringify([...labels]), "[]")
    if (url.href !== location.href) step ? history.pushState(history.state, "", url) : history.replaceState(history.state, "", url)
  }

  follow() { this.state = asked(this.file); if (!this.nodes.has(this.state.at)) this.state.at = ""; this.mark(); this.look(); this.gather() }

  // -- drawing --------------------------------------------------------------------------------------------------------

  build() {
    this.plot = make("div", { class: "scroll" })
    this.tip = make("div", { class: "tip", hidden: true })
    this.side = make("div", { class: "card side", "aria-live": "polite" })
    this.below = make("div", { class: "card together" })
    const main = make("div", { class: "card" }, this.tools(), this.plot, this.legend(), this.tip)
    this.main = main
    this.root.replaceChildren(make("div", { class: "body" }, main, this.side), this.below)
    this.lay(); this.look(); this.gather()
  }

  tools() {
    const slider = (name, label, value, min) => {
      const out = make("output", {}, Number(value).toFixed(2))
      const input = make("input", { type: "range", min, max: "1", step: "0.01", value, "aria-label": label, "data-name": name,
        oninput: event => { out.textContent = Number(event.target.value).toFixed(2) },
        onchange: event => {
          const url = new URL(location.href)
          url.searchParams.set(name, event.target.value)
          history.replaceState(history.state, "", url)
          this.main.style.opacity = .6
          const [nodes, edges] = ["nodes", "edges"].map(which => this.root.querySelector(`input[data-name=${which}]`).value)
          this.fire("prune", { nodes, edges, n: Date.now() })
        } })
      return make("label", {}, label, input, out)
    }
    const row = make("div", { class: "tools" })
    if (this.data.prunes) row.append(
      slider("nodes", "influence that nodes keep", this.data.nodes, "0.3"), slider("edges", "that links keep", this.data.edges, "0.5"))
    row.append(make("span", { class: "grow" }), make("button", { type: "button", onclick: () => this.download() }, "Download JSON"))
    return row
  }

  legend() {
    return make("div", { class: "legend" }, make("span", {}, "● feature"), make("span", {}, "◆ what the dictionary leaves out"),
      make("span", {}, "■ token, next token"), make("span", {}, "blue raises · red lowers"),
      make("span", {}, "arrow keys move, Enter chooses, p pins, g marks for a group"))
  }

  lay() {
    const nodes = [...this.nodes.values()], width = this.width = Math.max(this.plot.clientWidth || 700, 240)
    const numbers = [...new Set(nodes.filter(n => n.kind === "feature" || n.kind === "error").map(n => Number(n.layer)))].sort((a, b) => a - b)
    const rows = ["token", ...numbers, "logit"], left = 52, pad = 4
    const rowOf = one => one.kind === "token" ? 0 : one.kind === "logit" ? rows.length - 1 : 1 + numbers.indexOf(Number(one.layer))
    const cells = new Map()
    for (const one of nodes) {
      const key = `${rowOf(one)}:${one.ctx_idx}`
      if (!cells.has(key)) cells.set(key, [])
      cells.get(key).push(one)
    }
    const most = this.tokens.map((_, at) => Math.max(1, ...rows.map((_, row) => (cells.get(`${row}:${at}`) ?? []).length)))
    const least = 30, free = Math.max(0, width - left - least * this.tokens.length), needs = most.map(Math.sqrt), whole = needs.reduce((a, b) => a + b, 0)
    const wide = needs.map(need => least + free * need / whole), starts = []
    wide.reduce((x, w, n) => { starts[n] = x; return x + w }, left)
    const total = starts.at(-1) + wide.at(-1)
    const STEP = this.step = Math.max(13, Math.min(21, ...wide.map((w, at) => (w - 2 * pad) / Math.min(most[at], 16))))
    const fits = at => Math.max(1, Math.floor((wide[at] - 2 * pad) / STEP))
    const tall = rows.map((_, row) => Math.max(34, Math.min(64, innerHeight * .5 / rows.length), 14 + STEP * Math.max(1, ...this.tokens.map((_, at) => Math.ceil((cells.get(`${row}:${at}`) ?? []).length / fits(at))))))
    const height = tall.reduce((a, b) => a + b, 0) + 30, svg = draw("svg", { width: total, height, viewBox: `0 0 ${total} ${height}`, role: "group", "aria-label": "Nodes by token and layer" })
    const tops = []
    let y = height - 30
    rows.forEach((name, row) => {
      y -= tall[row]; tops[row] = y
      svg.append(draw("line", { class: "rule", x1: 0, x2: total, y1: y + tall[row], y2: y + tall[row] }))
      svg.append(draw("text", { x: 0, y: y + tall[row] / 2 + 4 }, name === "token" ? "tokens" : name === "logit" ? "next" : `layer ${name}`))
    })
    this.tokens.forEach((said, at) => {
      const text = draw("text", { class: "tok", x: starts[at] + wide[at] / 2, y: height - 12, "text-anchor": "middle" }, short(said, Math.max(2, Math.floor(wide[at] / 7.4))))
      text.append(draw("title", {}, `${said} (${at})`))
      svg.append(text)
    })
    this.lines = draw("g"); svg.append(this.lines)
    for (const [key, some] of cells) {
      const [row, at] = key.split(":").map(Number), room = fits(at)
      some.sort((a, b) => (a.kind === "logit" ? (b.token_prob ?? 0) - (a.token_prob ?? 0) : (a.influence ?? 2) - (b.influence ?? 2)))
      some.forEach((one, n) => {
        const inLine = Math.min(room, some.length - Math.floor(n / room) * room)
        one.x = starts[at] + wide[at] / 2 + ((n % room) - (inLine - 1) / 2) * STEP
        const lines = Math.ceil(some.length / room)
        one.y = tops[row] + tall[row] / 2 + ((lines - 1) / 2 - Math.floor(n / room)) * STEP
        one.row = row
      })
    }
    const strength = nodes.filter(n => n.kind !== "logit").map(n => n.influence ?? 1), low = Math.min(...strength, 1)
    for (const one of nodes) {
      const g = draw("g", { class: "node", tabindex: -1, role: "button", "data-id": one.node_id, transform: `translate(${one.x} ${one.y})` })
      const r = one.kind === "feature" ? STEP * .29 + STEP * .13 * (1 - ((one.influence ?? 1) - low) / (1 - low + 1e-9)) : STEP * .35
      if (one.kind === "feature") g.append(draw("circle", { class: "dot", r }))
      else if (one.kind === "error") g.append(draw("path", { class: "dot", d: `M0 ${-r} L${r} 0 L0 ${r} L${-r} 0 Z` }))
      else g.append(draw("rect", { class: "dot", x: -r * .9, y: -r * .9, width: r * 1.8, height: r * 1.8, rx: 1.5 }))
      g.append(draw("rect", { class: "hit", x: -STEP / 2, y: -STEP / 2, width: STEP, height: STEP }))
      g.addEventListener("pointerenter", () => this.over(one))
      g.addEventListener("pointerleave", () => this.over(null))
      g.addEventListener("focus", () => this.over(one))
      g.addEventListener("blur", () => this.over(null))
      g.addEventListener("click", event => event.shiftKey ? this.choose(one) : this.go(one.node_id))
      one.g = g; svg.append(g)
    }
    svg.addEventListener("keydown", event => this.key(event))
    this.plot.replaceChildren(svg)
    this.mark()
  }

  mark() {
    const now = this.hover ?? this.nodes.get(this.state.at) ?? null, near = new Set(), grouped = new Set(this.state.groups.flatMap(one => one.ids))
    if (now) { near.add(now); for (const edge of now.ins) near.add(edge.source); for (const edge of now.outs) near.add(edge.target) }
    const first = this.nodes.get(this.state.at) ?? [...this.nodes.values()].find(one => one.kind === "logit") ?? this.nodes.values().next().value
    for (const one of this.nodes.values()) {
      const on = { [one.kind]: true, dim: now && !near.has(one), pinned: this.state.pinned.has(one.node_id), group: grouped.has(one.node_id), chosen: this.chosen.has(one.node_id), at: one.node_id === this.state.at }
      one.g.setAttribute("class", ["node", ...Object.keys(on).filter(name => on[name])].join(" "))
      one.g.setAttribute("tabindex", one === first ? 0 : -1)
      one.g.setAttribute("aria-label", `${this.label(one)}, ${this.place(one)}`)
      one.g.setAttribute("aria-pressed", String(one.node_id === this.state.at))
    }
    const lines = []
    const bend = edge => { const { source: a, target: b } = edge, m = (a.y + b.y) / 2; return `M${a.x} ${a.y} C${a.x} ${m} ${b.x} ${m} ${b.x} ${b.y}` }
    if (now) {
      const most = list => Math.max(...list.map(edge => Math.abs(edge.weight)), 1e-9)
      for (const list of [now.ins, now.outs]) for (const edge of list.slice(0, 60))
        lines.push(draw("path", { class: `link ${edge.weight > 0 ? "pos" : "neg"}`, d: bend(edge), "stroke-width": (.4 + 3.4 * Math.abs(edge.weight) / most(list)).toFixed(2), style: `opacity:${(.18 + .7 * Math.abs(edge.weight) / most(list)).toFixed(2)}` }))
    } else {
      const all = [...this.nodes.values()].flatMap(one => one.ins).sort((a, b) => b.share - a.share).slice(0, FAINT)
      for (const edge of all) lines.push(draw("path", { class: "link", d: bend(edge), "stroke-width": (.6 + 3 * edge.share).toFixed(2), style: `opacity:${(.14 + .5 * edge.share).toFixed(2)}` }))
    }
    this.lines.replaceChildren(...lines)
  }

  over(one) {
    if (this.hover === one) return
    this.hover = one
    this.mark()
    if (!one) { this.tip.hidden = true; return }
    const list = (title, edges, end) => edges.length ? make("div", { class: "soft" }, `${title}: ${edges.slice(0, 3).map(edge => `${short(this.label(edge[end]), 24)} ${edge.weight > 0 ? "+" : ""}${figure(edge.weight)}`).join(", ")}`) : null
    this.tip.replaceChildren(make("b", {}, short(this.label(one), 80)), make("div", { class: "soft" }, this.place(one)),
      one.influence == null ? "" : make("div", {}, `within the first ${(100 * one.influence).toFixed(0)} % of influence`), list("from", one.ins, "source") ?? "", list("to", one.outs, "target") ?? "")
    this.tip.hidden = false
    const box = this.plot.getBoundingClientRect(), card = this.main.getBoundingClientRect()
    const x = box.left - card.left + one.x - this.plot.scrollLeft, y = box.top - card.top + one.y
    this.tip.style.left = `${Math.max(4, Math.min(x + 12, card.width - this.tip.offsetWidth - 8))}px`
    this.tip.style.top = `${y + 14 + this.tip.offsetHeight > card.height ? Math.max(4, y - this.tip.offsetHeight - 12) : y + 14}px`
  }

  // -- going about ----------------------------------------------------------------------------------------------------

  go(id, focus = false) {
    this.state.at = this.state.at === id && !focus ? "" : id
    this.say(true); this.mark(); this.look()
    if (focus) this.nodes.get(id)?.g.focus()
  }

  key(event) {
    const one = this.nodes.get(event.target.closest?.(".node")?.dataset.id)
    if (!one || event.ctrlKey || event.metaKey || event.altKey) return
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key]
    if (move) {
      let best = null, least = Infinity
      for (const other of this.nodes.values()) {
        const dx = other.x - one.x, dy = other.y - one.y, along = dx * move[0] + dy * move[1], across = Math.abs(dx * move[1]) + Math.abs(dy * move[0])
        if (other !== one && along > 1 && along + 3 * across < least) { best = other; least = along + 3 * across }
      }
      best?.g.focus()
    } else if (event.key === "Enter" || event.key === " ") this.go(one.node_id)
    else if (event.key === "p") this.pin(one)
    else if (event.key === "g") this.choose(one)
    else if (event.key === "Escape") { if (this.state.at) this.go(this.state.at) }
    else return
    event.preventDefault()
  }

  // -- editing --------------------------------------------------------------------------------------------------------

  pin(one) { const { pinned } = this.state; pinned.has(one.node_id) ? pinned.delete(one.node_id) : pinned.add(one.node_id); this.changed() }
  choose(one) { this.chosen.has(one.node_id) ? this.chosen.delete(one.node_id) : this.chosen.add(one.node_id); this.changed() }
  group() {
    const ids = [...this.chosen]
    for (const one of this.state.groups) one.ids = one.ids.filter(id => !this.chosen.has(id))
    this.state.groups = this.state.groups.filter(one => one.ids.length)
    this.state.groups.push({ name: short(this.label(this.nodes.get(ids[0])), 40), ids })
    this.chosen.clear(); this.changed()
  }
  changed() { this.say(); this.mark(); this.look(); this.gather() }

  // -- the node that is looked at -------------------------------------------------------------------------------------

  look() {
    const one = this.nodes.get(this.state.at)
    if (!one) {
      const ends = [...this.nodes.values()].filter(n => n.kind === "logit").sort((a, b) => b.token_prob - a.token_prob)
      this.side.replaceChildren(make("h2", {}, "Click a node"), make("div", { class: "soft" }, "What acts on it and what it acts on is listed here. Begin with a next token:"),
        make("div", { class: "ways" }, ...ends.map(n => make("button", { type: "button", class: "mono", onclick: () => this.go(n.node_id) }, `${/Output "(.*)" \(p=/s.exec(n.clerp)?.[1] ?? n.clerp} ${(100 * n.token_prob).toFixed(1)} %`))))
      return
    }
    const pages = this.data.pages[one.node_id] ?? {}
    const facts = [this.place(one)]
    if (one.activation != null) facts.push(`activation ${figure(one.activation)}`)
    if (one.influence != null) facts.push(`within the first ${(100 * one.influence).toFixed(0)} % of influence`)
    const name = make("input", { class: "in", value: this.state.labels.get(one.node_id) ?? "", placeholder: "call it something else", "aria-label": "Label", maxlength: 200,
      onchange: event => { const said = event.target.value.trim(); said ? this.state.labels.set(one.node_id, said) : this.state.labels.delete(one.node_id); this.changed() } })
    this.side.replaceChildren(
      make("h2", {}, this.label(one)), make("div", { class: "soft" }, facts.join(" · ")),
      make("div", { class: "ways" },
        pages.feature ? make("a", { class: "way", href: pages.feature }, "Feature page") : null,
        pages.steer ? make("a", { class: "way", href: pages.steer }, "Steer with it") : null,
        make("button", { type: "button", "aria-pressed": String(this.state.pinned.has(one.node_id)), onclick: () => this.pin(one) }, this.state.pinned.has(one.node_id) ? "Pinned" : "Pin"),
        make("button", { type: "button", "aria-pressed": String(this.chosen.has(one.node_id)), onclick: () => this.choose(one) }, this.chosen.has(one.node_id) ? "Marked for a group" : "Mark for a group")),
      one.kind === "feature" ? name : "", ...this.list("What acts on it", one.ins, "source"), ...this.list("What it acts on", one.outs, "target"))
  }

  list(title, edges, end) {
    if (!edges.length) return []
    const most = Math.abs(edges[0].weight) || 1
    const rows = edges.slice(0, LISTED).map(edge => make("button", { type: "button", class: `row ${edge.weight < 0 ? "less" : ""}`, title: this.place(edge[end]), onclick: () => this.go(edge[end].node_id, true) },
      make("span", { class: "what" }, edge[end].kind === "feature" ? `L${edge[end].layer} ` : "", this.label(edge[end]), make("span", { class: "soft" }, edge[end].kind === "feature" ? ` @${edge[end].ctx_idx}` : "")),
      make("span", { class: "bar" }, make("i", { style: `width:${(100 * Math.abs(edge.weight) / most).toFixed(1)}%` })), make("span", { class: "n" }, figure(edge.weight))))
    const more = edges.length > LISTED ? make("div", { class: "soft" }, `and ${edges.length - LISTED} more`) : ""
    return [make("h3", {}, title), ...rows, more]
  }

  // -- what was put together ------------------------------------------------------------------------------------------

  gather() {
    const { pinned, groups } = this.state, parts = []
    for (const one of groups) parts.push({ name: one.name, ids: one.ids.filter(id => this.nodes.has(id)), group: one })
    const inside = new Set(groups.flatMap(one => one.ids))
    for (const id of pinned) if (this.nodes.has(id) && !inside.has(id)) parts.push({ name: this.label(this.nodes.get(id)), ids: [id] })
    const shown = [make("h2", {}, "Pinned and put together")]
    if (!parts.length && !this.chosen.size) shown.push(make("div", { class: "soft" }, "Pin nodes, or mark several and group them into a supernode: what acts between them is summed here. The address holds it all."))
    if (this.chosen.size) shown.push(make("div", { class: "ways" }, make("button", { type: "button", class: "p", onclick: () => this.group() }, `Group ${this.chosen.size} into a supernode`), make("button", { type: "button", onclick: () => { this.chosen.clear(); this.changed() } }, "Unmark")))
    shown.push(make("div", { class: "groups" }, ...parts.map(one => one.group
      ? make("span", { class: "part" }, make("input", { class: "in", value: one.name, "aria-label": "Name of the supernode", maxlength: 80, onchange: event => { one.group.name = event.target.value.trim() || "supernode"; this.changed() } }), make("span", { class: "soft" }, `${one.ids.length} nodes`), make("button", { type: "button", onclick: () => { this.state.groups = groups.filter(other => other !== one.group); this.changed() } }, "Ungroup"))
      : make("span", { class: "part" }, make("button", { type: "button", onclick: () => this.go(one.ids[0], true) }, short(one.name, 40)), make("button", { type: "button", "aria-label": `Unpin ${one.name}`, onclick: () => this.pin(this.nodes.get(one.ids[0])) }, "Unpin")))))
    const of = new Map(parts.flatMap((one, n) => one.ids.map(id => [id, n]))), sums = new Map()
    for (const [id, n] of of) for (const edge of this.nodes.get(id).ins) {
      const from = of.get(edge.source.node_id)
      if (from !== undefined && from !== n) sums.set(`${from}:${n}`, (sums.get(`${from}:${n}`) ?? 0) + edge.weight)
    }
    const ranked = [...sums].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, LISTED), most = Math.abs(ranked[0]?.[1] ?? 1) || 1
    if (ranked.length) shown.push(make("h3", {}, "Between them"), ...ranked.map(([key, weight]) => {
      const [from, to] = key.split(":").map(n => parts[n].name)
      return make("div", { class: `row ${weight < 0 ? "less" : ""}` }, make("span", { class: "what" }, `${from} → ${to}`), make("span", { class: "bar" }, make("i", { style: `width:${(100 * Math.abs(weight) / most).toFixed(1)}%` })), make("span", { class: "n" }, figure(weight)))
    }))
    if (this.data.keeps) {
      const name = make("input", { class: "in", value: this.file.metadata.slug, "aria-label": "Name of the graph", maxlength: 100 })
      shown.push(make("div", { class: "keep" }, name, make("button", { type: "button", class: "p", onclick: () => this.fire("keep", { slug: name.value.trim(), ...this.edits(), n: Date.now() }) }, "Keep this graph"), make("span", { class: "soft" }, "under a name, with what you made of it")))
    }
    this.below.replaceChildren(...shown)
  }

  edits() {
    const { at, pinned, groups, labels } = this.state
    return { clicked: at, pinned: [...pinned], supernodes: groups.map(one => [one.name, ...one.ids]), labels: [...labels] }
  }

  download() {
    const { clicked, pinned, supernodes } = this.edits(), { labels } = this.state
    const nodes = this.file.nodes.map(one => labels.has(one.node_id) && one.feature_type !== "logit" ? { ...one, clerp: labels.get(one.node_id) } : one)
    const whole = { ...this.file, nodes, qParams: { ...this.file.qParams, clickedId: clicked, pinnedIds: pinned, supernodes } }
    const link = make("a", { href: URL.createObjectURL(new Blob([JSON.stringify(whole)], { type: "application/json" })), download: `${this.file.metadata.slug}.json` })
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root")
  root._fire = setTriggerValue
  if (root._mark === data.mark) return () => {}
  root._graph?.end()
  root._mark = data.mark
  root._graph = new Graph(root, data, (name, value) => root._fire(name, value))
  if (!root._back) {
    root._back = () => {
      if (!root.isConnected) { removeEventListener("popstate", root._back); return }
      if (location.pathname === "/graph") root._graph?.follow()
    }
    addEventListener("popstate", root._back)
  }
  return () => setTimeout(() => { if (!root.isConnected) { root._graph?.end(); root._graph = null; root._mark = null } })
}

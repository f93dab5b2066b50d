// The examples of a feature. Group, order, length and line breaks change here, with no trip to the server.
const NAMES = { diverse: "Diverse", raw: "Raw top", interval: "By interval", random: "Random active" }
const ABOUT = {
  diverse: "Strongest first, near-identical contexts folded into one with their exact count, at most one a prompt",
  raw: "The plain ranking: strongest first, nothing folded",
  interval: "Drawn from equal intervals of the activation, so that the weak and the middle are seen too",
  random: "Drawn evenly from all tokens on which the feature is active",
}
const BEFORE = 16, AFTER = 10
const states = new WeakMap()

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector("#root")
  if (!root || !data) return
  let state = states.get(root)
  if (!state || state.id !== data.id || state.asked !== data.show + data.view + data.breaks) {
    state = { id: data.id, asked: data.show + data.view + data.breaks, show: data.show, view: data.view, breaks: data.breaks, sort: "value", by: "none", open: new Set(), bared: new Set() }
    states.set(root, state)
  }
  passTips(root)
  root.classList.toggle("signed", data.signed)
  const draw = () => {
    root.replaceChildren(toolbar(data, state, change), ...body(data, state, draw))
  }
  const change = (name, value) => {
    state[name] = value
    const plainView = { show: "diverse", view: "snippet", breaks: false }
    if (name in plainView)
      putInAddress(query => value === plainView[name] ? query.delete(name) : query.set(name, value === true ? "1" : value))
    const was = parentElement.activeElement?.dataset.name
    draw()
    if (was) root.querySelector(`[data-name="${was}"]`)?.focus()
  }
  draw()
}

function toolbar(data, state, change) {
  const bar = el("div", "bar"), left = el("div", "seg", undefined, { role: "group", "aria-label": "Which examples" }), right = el("div", "seg")
  const kinds = [...new Set(data.groups.map(g => g.kind))]
  if (!kinds.includes(state.show)) state.show = kinds[0]
  const pill = (name, value, text, about) => {
    const button = el("button", "pill", text, { type: "button", "aria-pressed": state[name] === value, "data-tip": about, "data-name": name + value })
    button.onclick = () => change(name, name === "breaks" ? !state.breaks : value)
    return button
  }
  kinds.forEach(kind => left.append(pill("show", kind, NAMES[kind], ABOUT[kind])))
  right.append(
    choose("sort", { value: "Strongest first", repeats: "Most repeated first", place: "In the corpus’s order" }, "Order of the examples", state, change),
    choose("by", { none: "Not grouped", part: "Grouped by file" }, "Grouping of the examples", state, change),
    pill("view", "snippet", "Snippet", "Some tokens on either side"),
    pill("view", "whole", "Whole", "The whole prompt"),
    pill("breaks", true, "↵", "Line breaks of the text as line breaks"),
  )
  bar.append(left, right)
  return bar
}

function choose(name, options, label, state, change) {
  const select = el("select", "pill", undefined, { "aria-label": label, "data-name": name })
  for (const [value, text] of Object.entries(options)) select.append(el("option", "", text, { value }))
  select.value = state[name]
  select.onchange = () => change(name, select.value)
  return select
}

function body(data, state, draw) {
  const groups = data.groups.filter(g => g.kind === state.show)
  const parts = []
  let split = false, first = true
  const add = (rows, heading) => {
    if (heading) { heading.classList.toggle("first", first); parts.push(heading) }
    rows.forEach((row, i) => {
      const drawn = line(data, row, state, draw)
      if (i === 0 && (heading || first)) drawn.node.classList.add("first")
      split ||= drawn.split
      parts.push(drawn.node)
      first = false
    })
  }
  for (const group of groups) {
    if (!group.rows.length) continue
    const rows = sorted(group.rows, state.sort)
    if (groups.length > 1) {
      const heading = el("div", "group")
      const range = el("span"); range.append(el("b", "", `${num(group.low)} to ${num(group.high)}`))
      heading.append(range, el("span", "", `${share(group.share)} of all tokens`))
      add(rows, heading)
    } else if (state.by === "part") {
      const files = Map.groupBy ? Map.groupBy(rows, r => r.part) : rows.reduce((m, r) => m.set(r.part, [...(m.get(r.part) ?? []), r]), new Map())
      for (const [part, its] of files) {
        const heading = el("div", "group"); heading.append(el("b", "", part || "no file"), el("span", "", `${its.length} of ${rows.length}`))
        add(its, heading)
      }
    } else add(rows)
  }
  if (!parts.length) parts.push(el("div", "empty", "This build keeps no examples of this kind."))
  const foot = el("div", "foot"), legend = el("span")
  legend.append(data.signed ? num(-data.scale) : "0", el("span", "scale"), num(data.scale), " the same scale for examples and tests")
  foot.append(legend)
  if (split) foot.append(splitNote())
  parts.push(foot)
  return parts
}

const share = fraction => fraction ? (fraction * 100).toPrecision(2).replace(/\.?0+$/, "").replace(/e.*/, "") + " %" : "0 %"

function sorted(rows, order) {
  const copy = [...rows]
  if (order === "repeats") copy.sort((a, b) => b.repeats - a.repeats || b.value - a.value)
  if (order === "place") copy.sort((a, b) => a.prompt - b.prompt || a.at - b.at)
  return copy
}

function line(data, row, state, draw) {
  const text = data.texts[row.x], whole = state.view === "whole"
  const skip = text.t.length && data.vocab[text.t[0]][2] & SPECIAL ? 1 : 0
  let from = whole ? 0 : Math.max(0, row.at - BEFORE), to = whole ? text.t.length : Math.min(text.t.length, row.at + AFTER + 1)
  if (from <= skip) from = whole ? 0 : skip
  const { strip, split } = drawStrip(data, text, { from, to, at: row.at, breaks: state.breaks, label: `Example, ${num(row.value)} at the outlined token` })
  const shown = el("div")
  shown.append(strip)
  if (row.dfa) shown.append(drawSources(data, text, row.dfa, { from: skip && from === skip ? 0 : from, to, breaks: state.breaks }))
  const node = el("div", "row"), value = el("span", "num", num(row.value), { tabindex: "0" }), tail = el("div", "tail")
  const name = `${row.prompt}:${row.at}`
  if (data.cover && text.e && !state.bared.has(name)) {
    const said = el("div", "said-cover"), show = el("button", "quiet", "show", { type: "button" })
    show.onclick = () => { state.bared.add(name); draw() }
    said.append("hidden: explicit text · ", show)
    node.append(value, said, tail)
    return { node, split: false }
  }
  value._fsTip = () => `${num(row.value)} at position ${row.at} · ${percentOf(row.value, data.scale)} of the maximum\nprompt ${row.prompt} · document ${row.document}${row.part ? " · " + row.part : ""}`
  const send = el("button", "quiet copy", undefined, { type: "button", "data-tip": "Copy this example into the test box", "aria-label": "Copy this example into the test box" })
  send.append("→", el("span", "wide", " test"))
  send.onclick = () => window.dispatchEvent(new CustomEvent("featurescope:test", { detail: plain(data, text, from, to) }))
  if (data.testable) tail.append(send)
  if (row.repeats > 1) {
    const mark = `${row.prompt}:${row.at}`, open = state.open.has(mark)
    const fold = el("button", "quiet fold", `× ${row.repeats} ${open ? "▾" : "▸"}`, {
      type: "button", "aria-expanded": open, "data-tip": `${row.repeats} prompts of the build have a near-identical context, this one included`,
    })
    fold.onclick = () => { open ? state.open.delete(mark) : state.open.add(mark); draw() }
    tail.append(fold)
    node.append(value, shown, tail)
    if (open) node.append(members(data, row, state))
  } else node.append(value, shown, tail)
  return { node, split }
}

// The contexts that were folded into an example: a few of them, since they are near-identical.
function members(data, row, state) {
  const others = row.repeats - 1, shown = row.members.length
  const list = el("div", "members")
  list.append(el("div", "", shown < others ? `${shown} of the ${others} other contexts` : others === 1 ? "the other context" : `the ${others} other contexts`))
  for (const [prompt, position, value, x, first] of row.members) {
    const item = el("div", "member"), number = el("span", "num", num(value), { tabindex: "0", "data-tip": `prompt ${prompt}, position ${position}` })
    item.append(number)
    if (x !== undefined && data.cover && data.texts[x].e && !state.bared.has(`${row.prompt}:${row.at}`)) item.append(el("div", "", "hidden: explicit text"))
    else if (x !== undefined) {
      const skip = data.texts[x].t.length && data.vocab[data.texts[x].t[0]][2] & SPECIAL ? 1 : 0
      item.append(drawStrip(data, data.texts[x], { from: skip, at: position - first, start: first, breaks: state.breaks, label: `Folded context, ${num(value)}` }).strip)
    }
    list.append(item)
  }
  return list
}

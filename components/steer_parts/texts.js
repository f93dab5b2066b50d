// The default and the steered text as they grow: tokens are added, never drawn anew, in a place that is kept for them.
const boxes = new WeakMap()
const SIDES = ["default", "steered"]
const WORKING = new Set(["waiting", "writing"])
const LINE = 26, LETTER = 8.1, TOKEN = 4.4  // pixels of a line and of a letter, letters of a token: to keep room

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root")
  if (!root || !data) return
  let box = boxes.get(root)
  if (!box) { box = build(root); boxes.set(root, box) }
  box.fire = what => setTriggerValue("act", { what, n: Date.now() })
  const other = box.data?.mark !== data.mark
  box.data = data
  passTips(root)
  if (other) begin(box)
  draw(box)
}

function build(root) {
  const box = { root, data: null, sides: {}, told: "" }
  box.status = el("div", "status", undefined, { role: "status" })
  box.buttons = el("div", "seg")
  box.out = el("div")
  const head = el("div", "bar"), both = el("div", "both"), foot = el("div", "foot")
  head.append(box.status, box.buttons)
  for (const name of SIDES) {
    const section = el("section", "text", undefined, { "aria-label": name === "default" ? "Default text" : "Steered text" })
    const title = el("div", "sub"), count = el("span", "soft"), flow = el("div", "fs-strip signed flow", undefined, { tabindex: "0", role: "group" })
    const all = el("button", "act all", "Show all", { type: "button" })
    all.onclick = () => { section.classList.add("open"); all.hidden = true }
    all.hidden = true
    title.append(el("b", "", name === "default" ? "Default" : "Steered"), count)
    section.append(title, flow, all)
    both.append(section)
    box.sides[name] = { section, count, flow, all, given: null, nodes: [], drawn: [] }
    keys(box, name)
  }
  box.legend = el("span", "legend")
  foot.append(box.legend)
  root.replaceChildren(head, both, box.out, foot)
  new ResizeObserver(() => room(box)).observe(both)
  listen(root, ":again", () => {
    if (WORKING.has(box.data.state)) return
    if (box.data.state !== "done") return box.fire("again")
    box.told = "The same settings and seed give the same texts."
    draw(box)
  })
  onKey(root, event => { if (event.key === "Escape" && WORKING.has(box.data.state)) box.fire("stop") })
  return box
}

// One tab stop a text; the arrow keys walk its tokens.
function keys(box, name) {
  const side = box.sides[name]
  side.flow.onkeydown = event => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key]
    if (step === undefined || !side.nodes.length) return
    event.preventDefault()
    const now = side.nodes.indexOf(side.flow.getRootNode().activeElement)
    const next = side.nodes[Math.max(0, Math.min(side.nodes.length - 1, now < 0 ? (step < 0 ? side.nodes.length - 1 : 0) : now + step))]
    next.tabIndex = -1
    next.focus()
  }
}

function begin(box) {
  box.told = ""
  for (const name of SIDES) {
    const side = box.sides[name]
    side.section.classList.remove("open")
    side.flow.replaceChildren()
    Object.assign(side, { nodes: [], drawn: [], given: null })
    side.caret = el("span", "caret", undefined, { "aria-hidden": "true" })
    side.flow.append(side.caret)
  }
  room(box)
  const asked = Date.now() - (window.featurescopeSteered ?? 0) < 5000  // by the button, and not by a link that was opened
  if (asked && box.root.getBoundingClientRect().top > innerHeight * 0.7) box.root.scrollIntoView({ behavior: "smooth", block: "start" })
}

// Keeps as much room as the texts will want, so that what is below them stays where it is.
function room(box) {
  const { data, sides } = box
  if (!data) return
  const width = sides.default.flow.clientWidth || 400
  const letters = Math.max(...SIDES.map(name => data[name].given.reduce((sum, i) => sum + data.vocab[i][1].length, 0)), 20) + data.of * TOKEN
  const lines = Math.max(6, Math.min(15, Math.ceil(letters * LETTER / width) + 4))  // and some line breaks
  for (const name of SIDES) sides[name].flow.style.setProperty("--room", lines * LINE + "px")
}

function draw(box) {
  const { data } = box, working = WORKING.has(data.state)
  const none = SIDES.every(name => !data[name].tokens.length)
  box.root.classList.toggle("bare", !working && none && data.state !== "done")
  box.status.className = "status " + data.state
  box.status.textContent = box.told || data.said
  for (const name of SIDES) text(box, name, working)
  legend(box)
  const shown = JSON.stringify([data.mark, data.state, data.message, data.share, data.again])
  if (box.shown === shown) return  // a button that is drawn anew between press and release would not be clicked
  box.shown = shown
  box.buttons.replaceChildren(...buttons(box, working))
  box.out.replaceChildren(...outcome(box))
}

function text(box, name, working) {
  const { data } = box, side = box.sides[name], now = data[name]
  const follow = side.flow.scrollHeight - side.flow.scrollTop - side.flow.clientHeight < LINE
  if (side.given !== now.given.length) {
    side.given = now.given.length
    side.flow.querySelectorAll(".given").forEach(node => node.remove())
    side.flow.prepend(...now.given.map(i => given(data.vocab[i])))
  }
  now.tokens.forEach((token, n) => {
    const mark = JSON.stringify([data.vocab[token[0]], token[2]])
    if (side.drawn[n] === mark) return
    side.drawn[n] = mark
    const node = written(box, name, n)
    if (side.nodes[n]) side.nodes[n].replaceWith(node); else side.caret.before(node)
    side.nodes[n] = node
  })
  side.caret.hidden = !working || now.ended
  const said = now.ended ? "came to its end" : data.state === "done" ? "" : `of ${data.of}`
  side.count.textContent = now.tokens.length || working ? `${now.tokens.length} ${said.startsWith("of") ? said + " " : ""}tokens${said && !said.startsWith("of") ? ", " + said : ""}` : ""
  side.flow.setAttribute("aria-label", (name === "default" ? "Default" : "Steered") + " text: arrow keys walk its tokens")
  if (working && follow) side.flow.scrollTop = side.flow.scrollHeight
  if (!working && side.followed) side.flow.scrollTo({ top: 0, behavior: "smooth" })  // it is whole: read from its beginning
  side.followed = working && follow
  side.all.hidden = working || side.section.classList.contains("open") || side.flow.scrollHeight <= side.flow.clientHeight + 2
}

function given([, said, flags]) {
  const node = el("span", "t given" + (flags & SPECIAL ? " s" : ""))
  if (flags & SPECIAL) node.textContent = said; else drawText(node, said, true)
  return node
}

function written(box, name, n) {
  const { data } = box, [at, own, other] = data[name].tokens[n], [, said, flags] = data.vocab[at]
  const node = el("span", "t")
  if (flags & PARTIAL) node.classList.add("p")
  else if (flags & SPECIAL) { node.classList.add("s"); node.textContent = said }
  else drawText(node, said, true)
  if (other !== null) {
    const change = changeOf(name, own, other)
    const deep = depth(change, data.scale)
    if (deep >= 0.02) {
      node.classList.add("on")
      if (change < 0) node.classList.add("neg")
      node.style.setProperty("--v", deep.toFixed(3))
    }
  }
  node._fsTip = () => about(box, name, n)
  return node
}

// By how much steering changed the token's log-probability, whichever of the two wrote it.
const changeOf = (name, own, other) => name === "steered" ? own - other : other - own

function about(box, name, n) {
  const { data } = box, [at, own, other, top] = data[name].tokens[n]
  const [id, said, flags] = data.vocab[at]
  const [steered, plain] = name === "steered" ? [own, other] : [other, own]
  const line = (label, x) => `${label} ${x === null ? (data.scored ? "to be known soon" : "not compared") : `${share(x)} (log ${num(x)})`}`
  const lines = [flags & PARTIAL ? "part of a character" : JSON.stringify(said), line("without steering", plain), line("with steering", steered)]
  if (other !== null) lines.push(`change ${signed(changeOf(name, own, other))} nats`)
  lines.push(`token id ${id}`)
  if (top.length) lines.push("", "likeliest here:", ...top.map(([i, x]) => `${JSON.stringify(data.vocab[i][1] || `id ${data.vocab[i][0]}`)} ${share(x)}`))
  return lines.join("\n")
}

const signed = x => (x > 0 ? "+" : "") + num(x)
function share(x) {
  const percent = 100 * Math.exp(x)
  return percent >= 10 ? percent.toFixed(0) + " %" : percent >= 0.001 ? String(+percent.toPrecision(2)) + " %" : percent.toExponential(0) + " %"
}

function buttons(box, working) {
  const { data } = box, made = []
  const button = (text, cls, tip, act) => {
    const node = el("button", cls, text, { type: "button", "data-tip": tip })
    node.onclick = act
    made.push(node)
  }
  if (working) button("Stop", "btn", "Leaves the texts as they are. Escape does the same.", () => box.fire("stop"))
  if (data.state === "stopped" || data.state === "failed") button(data.state === "failed" ? "Try again" : "Run again", "btn", "The same once more", () => box.fire("again"))
  if (data.again) made.push(el("a", "btn", "Run it again", { href: data.again, "data-stay": "", "data-tip": "Lets the model write it anew" }))
  if (data.chat && data.state === "done") button("Go on", "btn", "Puts both answers into the chat, for you to say something more", () => say(":goon", { standard: data.default.text, steered: data.steered.text }))
  if (data.state === "done" && !data.again && !data.share?.href) {
    button(data.share?.busy ? "Saving…" : "Share", "btn p", "Saves both texts under a link that shows them without running the model", () => box.fire("share"))
    made.at(-1).disabled = Boolean(data.share?.busy)
  }
  return made
}

function outcome(box) {
  const { data } = box, made = []
  if (data.message) made.push(note(data.message))
  if (data.share?.message) made.push(note(data.share.message))
  if (data.share?.href) {
    const row = el("div", "shared"), copy = el("button", "btn p", "Copy", { type: "button", "data-copy": data.share.href })
    row.append(el("span", "soft", "Saved. Whoever opens this link sees both texts, and no model runs:"), el("code", "", location.origin + data.share.href), copy)
    made.push(row)
  }
  return made
}

function legend(box) {
  const { data } = box
  const name = term("colour", data.about.colour)
  const parts = data.scored ? [name, " less likely with steering", el("span", "scale"), "likelier, full at ", `${data.scale} nats (× ${Math.round(Math.exp(data.scale))})`]
    : [name, " none: after different chats the two cannot be compared token by token"]
  if (box.legend.textContent !== parts.map(p => p.textContent ?? p).join("")) box.legend.replaceChildren(...parts)
}

// One text as a strip of tokens. Shared by the examples and the test box, so that a value looks the same in both.
// Tokens are data: they are only ever set as text.
const SPECIAL = 1, PARTIAL = 2

function el(tag, cls, text, attributes) {
  const node = document.createElement(tag)
  if (cls) node.className = cls
  if (text !== undefined) node.textContent = text
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value)
  return node
}

// Tooltips are the shell's; it does not hear what moves from one part of a shadow root to another.
function passTips(root) {
  if (root._tips) return
  root._tips = true
  for (const name of ["mouseover", "focusin"]) root.addEventListener(name, event => window.featurescopeTips?.show(event))
  for (const name of ["mouseleave", "focusout"]) root.addEventListener(name, () => window.featurescopeTips?.hide())
}

function num(value) {
  if (!value) return "0"
  const size = Math.abs(value)
  const text = size >= 1000 ? Math.round(value).toLocaleString("en") : size >= 1 ? value.toFixed(2)
    : size >= 0.1 ? value.toFixed(3) : size >= 0.001 ? String(+value.toPrecision(3)) : value.toExponential(1)
  return text.replace("-", "−")
}

const percentOf = (value, scale) => Math.round(100 * Math.abs(value) / scale) + " %"

// The same as `charts.depth`: how deep a value is coloured.
const depth = (value, scale) => scale > 0 ? Math.min(1, Math.abs(value) / scale) : 0

// `from` and `to` bound the tokens that are drawn; `at` is outlined; `start` is the position of the first token. Returns the strip and whether a split character was in it.
function drawStrip(data, text, { from = 0, to = text.t.length, at = null, breaks = false, label = "", start = 0 }) {
  const values = new Map(text.v)
  const strip = el("div", "fs-strip" + (data.signed ? " signed" : ""), undefined, { role: "group", "aria-label": label })
  let split = false
  if (from > 0) strip.append(el("span", "cut", "…"))
  for (let i = from; i < to; i++) {
    const [id, said, flags] = data.vocab[text.t[i]]
    const value = values.get(i) ?? 0
    const special = flags & SPECIAL, partial = flags & PARTIAL
    const lit = !special && (value > 0 || (data.signed && value < 0))
    const box = el("span", "t")
    if (partial) { box.classList.add("p"); split = true }
    else if (special) { box.classList.add("s"); box.textContent = said || "⟨special⟩" }
    else drawText(box, said, breaks)
    if (lit) {
      box.classList.add("on")
      box.style.setProperty("--v", depth(value, data.scale).toFixed(3))
      if (value < 0) box.classList.add("neg")
      if (i === at) box.classList.add("m")
    }
    box.tabIndex = -1
    box._fsTip = () => [
      partial ? "part of a character, drawn on a later token" : special ? `${said} (not counted)` : JSON.stringify(said),
      `value ${num(value)}` + (lit ? ` · ${percentOf(value, data.scale)} of the maximum` : ""),
      `token id ${id} · position ${start + i}`,
    ].join("\n")
    strip.append(box)
  }
  if (to < text.t.length) strip.append(el("span", "cut", "…"))
  walkable(strip, at === null ? 0 : Math.max(0, at - from))
  return { strip, split }
}

// Where a value came from: what each token up to the target gave (direct feature attribution), below the strip.
function drawSources(data, text, dfa, { from = 0, to = text.t.length, breaks = false }) {
  const values = new Map(dfa.v), strip = el("div", "fs-strip from", undefined, { role: "group", "aria-label": "Where the value came from, by token" })
  const most = Math.max(...dfa.v.map(entry => Math.abs(entry[1])), 0), end = Math.min(to, dfa.at + 1)
  const lead = el("span", "lead", "from", { tabindex: "0" })
  const heads = dfa.heads.map((value, head) => [head, value]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 4)
  lead._fsTip = () => [
    `What each token that was attended to gave to the value at position ${dfa.at}: attention × value × encoder, over all heads.`,
    `With ${num(dfa.bias)} that no token gave they add up to it, before the activation function.`,
    "Heads: " + heads.map(([head, value]) => `${head} gave ${num(value)}`).join(", ") + (dfa.heads.length > 4 ? ", …" : ""),
  ].join("\n")
  strip.append(lead)
  const missing = dfa.v.filter(([i]) => i < from && !(data.vocab[text.t[i]][2] & SPECIAL)).reduce((sum, entry) => sum + entry[1], 0)
  if (from > 0) strip.append(el("span", "cut", missing ? `${num(missing)} … ` : "…"))
  for (let i = from; i < end; i++) {
    const [, said, flags] = data.vocab[text.t[i]], value = values.get(i) ?? 0
    const box = el("span", "t")
    if (flags & PARTIAL) box.classList.add("p")
    else if (flags & SPECIAL) { box.classList.add("s"); box.textContent = said || "⟨special⟩" }
    else drawText(box, said, breaks)
    if (value) {
      box.classList.add("on")
      box.style.setProperty("--v", depth(value, most).toFixed(3))
      if (value < 0) box.classList.add("neg")
    }
    box.tabIndex = -1
    box._fsTip = () => `${JSON.stringify(said)}\ngave ${num(value)} to the value at position ${dfa.at}\nposition ${i}`
    strip.append(box)
  }
  walkable(strip, Math.max(0, end - 1 - from))
  return strip
}

function drawText(box, said, breaks) {
  said.split(/(\n)/).forEach(piece => {
    // Indentation takes room that a line without breaks does not have; the tooltip has it in full.
    if (piece !== "\n") { if (piece) box.append(breaks ? piece : piece.replace(/ {3,}/g, "  ")); return }
    box.append(el("span", "nl", "↵"))
    box.append(breaks ? "\n" : " ")
  })
}

// One tab stop a strip; the arrow keys walk its tokens and the tooltip of each is shown.
function walkable(strip, first) {
  const boxes = [...strip.querySelectorAll(".t")]
  if (!boxes.length) return
  let now = Math.min(first, boxes.length - 1)
  boxes[now].tabIndex = 0
  strip.onkeydown = event => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key]
    if (step === undefined) return
    event.preventDefault()
    boxes[now].tabIndex = -1
    now = Math.max(0, Math.min(boxes.length - 1, now + step))
    boxes[now].tabIndex = 0
    boxes[now].focus()
  }
}

// The words of a text again, without special tokens: what the test box takes.
const plain = (data, text, from = 0, to = text.t.length) =>
  text.t.slice(from, to).map(i => data.vocab[i]).filter(v => !(v[2] & SPECIAL)).map(v => v[1]).join("")

// Views are part of the link; Streamlit reads the address when it next runs.
function putInAddress(change) {
  const url = new URL(location.href)
  change(url.searchParams)
  history.replaceState(history.state, "", url)
}

function splitNote() {
  const note = el("span"), box = el("span", "fs-strip")
  box.append(el("span", "t p"))
  note.append(box, " a character split over several tokens is drawn on the last of them")
  return note
}

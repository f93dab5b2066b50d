// The test box: texts of one's own on this feature. What is shown is in the link; the server only ever answers `run`.
const TEXT = "defaulttesttext", HINT = "Enter tests · Shift+Enter starts a line"
const boxes = new WeakMap()

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root")
  if (!root || !data) return
  let box = boxes.get(root)
  if (!box) { box = build(root, data); boxes.set(root, box) }
  box.fire = setTriggerValue
  box.data = data.stage && box.data ? { ...box.data, stage: data.stage, part: data.part } : data  // what was there stays meanwhile
  passTips(root)
  root.classList.toggle("signed", data.signed)
  if (data.pending && data.echo >= box.n && data.wanted.length) run(box, data.wanted, data.kept)
  else if (data.stage) { box.waiting = true; box.n = Math.max(box.n, data.echo) }  // heard, and at work
  else if (data.echo >= box.n) {
    box.waiting = false
    box.n = Math.max(box.n, data.echo)
    box.texts = data.tests.map(t => t.text)
    box.kept = Math.min(data.kept, box.texts.length)
  }
  draw(box)
  return () => window.removeEventListener("featurescope:test", box.take)
}

function build(root, data) {
  const box = { n: 0, texts: [], kept: 0, waiting: false, warmed: false }
  box.area = el("textarea", "", undefined, { rows: 1, placeholder: "A sentence of your own", "aria-label": "Text to test on this feature", spellcheck: "false" })
  box.go = el("button", "go", "Test", { type: "button" })
  box.lines = el("input", "", undefined, { type: "checkbox" })
  box.lines.checked = true
  box.out = el("div", "results", undefined, { "aria-live": "polite" })
  const field = el("div", "field"), hint = el("div", "hint"), each = el("label")
  box.said = el("span", "say", HINT, { role: "status" })
  box.slim = el("i", "slim", undefined, { hidden: "" })
  field.append(box.area, box.go)
  each.append(box.lines, "each line is a text of its own")
  hint.append(box.said, each, box.slim)
  root.replaceChildren(...(data.field ? [field, hint] : []), box.out)
  const submit = () => {
    const texts = box.lines.checked ? box.area.value.split("\n").filter(t => t.trim()) : [box.area.value]
    run(box, [...box.texts.slice(0, box.kept), ...(texts.length ? texts : [""])], box.kept)
  }
  box.go.onclick = submit
  box.area.onkeydown = event => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); submit() }
  }
  box.area.oninput = () => {
    if (box.warmed || box.data.ready) return
    box.warmed = true  // the model loads while the sentence is being typed
    box.fire("warm", true)
  }
  box.take = event => {
    box.area.value = event.detail
    box.lines.checked = false
    root.scrollIntoView({ block: "center", behavior: "smooth" })
    box.area.focus({ preventScroll: true })
  }
  window.addEventListener("featurescope:test", box.take)
  return box
}

function run(box, texts, kept) {
  box.n = Math.max(box.n, box.data.echo) + 1
  box.texts = texts; box.kept = kept; box.waiting = true
  putInAddress(query => {
    query.delete(TEXT); query.delete("kept")
    texts.filter(t => t.trim()).forEach(t => query.append(TEXT, t))
    if (kept) query.set("kept", kept)
  })
  box.fire("run", { texts, kept, n: box.n })
  draw(box)
}

function draw(box) {
  const { data, out } = box
  box.go.disabled = box.waiting
  const parts = [], stage = data.stage || (data.ready ? "Testing…" : "Loading the model, then testing…")
  box.said.textContent = box.waiting ? stage : HINT  // in the line that is there anyway, so that nothing moves
  box.said.classList.toggle("wait", box.waiting)
  box.slim.hidden = !box.waiting || data.part === null || data.part === undefined || !data.stage
  box.slim.style.width = `${100 * (data.part ?? 0)}%`
  if (box.waiting && !data.field) parts.push(el("div", "wait", stage))
  if (!box.waiting && data.message) parts.push(el("div", "said", data.message, { role: "alert" }))
  let split = false
  data.tests.forEach((test, i) => {
    const drawn = result(box, test, i)
    split ||= drawn.split
    if (i === 0) drawn.node.classList.add("first")
    parts.push(drawn.node)
  })
  if (split) { const foot = el("div", "foot"); foot.append(splitNote()); parts.push(foot) }
  if (data.own && data.tests.length) parts.push(el("div", "foot", "This feature has no maximum in the build’s data: the deepest colour is the largest value of these texts."))
  out.replaceChildren(...parts)
}

function result(box, test, i) {
  const { data } = box, text = data.texts[test.x]
  const skip = text.t.length && data.vocab[text.t[0]][2] & SPECIAL ? 1 : 0
  const { strip, split } = drawStrip(data, text, { from: skip, at: test.at, breaks: true, label: `Test ${i + 1}` })
  strip.querySelector(".cut")?.remove()
  const found = test.at !== null && test.at !== undefined
  const max = el("span", "max" + (found ? "" : " none"), found ? `max ${num(test.max)} · ${percentOf(test.max, data.scale)} of its maximum` : "not active on this text", { tabindex: "0" })
  max._fsTip = () => found ? `Largest value on this text, at position ${test.at}, beside the largest in the build’s data (${num(data.scale)})` : "No token of this text activates the feature"
  strip.append(max)
  const node = el("div", "row"), tail = el("div", "tail"), kept = i < box.kept
  const button = (label, about, act, pressed) => {
    const b = el("button", "quiet", label, { type: "button", "data-tip": about, "aria-label": about })
    if (pressed !== undefined) b.setAttribute("aria-pressed", pressed)
    b.onclick = act
    tail.append(b)
  }
  const others = box.texts.filter((_, j) => j !== i)
  button(kept ? "Kept" : "Keep", kept ? "Let the next test replace this one" : "Keep this test, to compare the next one with it", () =>
    kept ? run(box, [...others.slice(0, box.kept - 1), test.text, ...others.slice(box.kept - 1)], box.kept - 1)
         : run(box, [...others.slice(0, box.kept), test.text, ...others.slice(box.kept)], box.kept + 1), kept)
  button("Edit", "Put this text into the box again", () => { box.area.value = test.text; box.lines.checked = !test.text.includes("\n"); box.area.focus() })
  button("×", "Remove this test", () => run(box, others, i < box.kept ? box.kept - 1 : box.kept))
  const shown = el("div")
  shown.append(strip)
  if (test.dfa) shown.append(drawSources(data, text, test.dfa, { breaks: true }))
  node.append(shown)
  if (data.field) node.append(tail)
  return { node, split }
}

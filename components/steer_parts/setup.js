// What steers, and how: features with their strengths, method, sampling, what is watched. Nothing runs from here: the
// prompt box asks for that, and this puts everything into the address.
const boxes = new WeakMap()
const TIMES = 1.5

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root")
  if (!root || !data) return
  let box = boxes.get(root)
  if (!box) { box = build(root); boxes.set(root, box) }
  box.fire = setTriggerValue
  box.data = data
  for (const known of [...data.features, ...data.watched, ...data.vectors]) box.known.set(known.id, known)
  box.heard(data.answer)
  if (box.mark !== data.mark) {
    box.mark = data.mark
    box.draft = structuredClone(data.asked)
    box.draft.dice = box.dice
    box.message = ""
    box.suggested = []
  }
  passTips(root)
  const shown = JSON.stringify([data.mark, data.vectors, data.presets, data.models])
  if (box.shown !== shown) { box.shown = shown; draw(box) }  // else whoever is at a slider or a field is left alone
}

function build(root) {
  const box = { root, known: new Map(), mark: null, dice: false, message: "", suggested: [], busy: "", open: {}, text: "" }
  box.ask = asker(box)
  listen(root, ":go", prompt => go(box, prompt))
  return box
}

// -- the address ----------------------------------------------------------------------------------------------------

function go(box, prompt) {
  const { draft, data } = box
  const bad = draft.features.find(f => draft.method !== "ablate" && !isNumber(f.strength))
  const wrong = !draft.features.length ? "Choose at least one feature to steer with."
    : bad ? `The strength of ${short(bad.id)} is a number, for example 30; “${bad.strength}” is none.` : ""
  if (wrong) return say(":wrong", wrong)
  if (draft.dice) draft.seed = String(Math.floor(Math.random() * 2 ** 31))
  const query = new URLSearchParams()
  const put = (name, value) => { if (value !== "" && String(value) !== String(data.usual[name] ?? "")) query.set(name, value) }
  put("model", data.model)
  put("features", draft.features.map(f => short(f.id) + (draft.method === "ablate" ? "" : ":" + tidy(f.strength))).join(","))
  put("prompt", prompt.prompt)
  put("chat", prompt.chat)
  put("method", draft.method)
  put("where", prompt.where)
  put("tokens", prompt.tokens.join(","))
  put("special", prompt.special ? "1" : "")
  put("unit", draft.unit ? "1" : "")
  for (const name of ["length", "temperature", "top_p", "penalty", "seed"]) put(name, draft[name])
  put("watch", draft.watch.map(short).join(","))
  const sorted = search => JSON.stringify([...new URLSearchParams(search)].filter(([name]) => name !== "sweep").sort())
  if (sorted(query) === sorted(location.search)) return say(":again")
  window.featurescopeSteered = Date.now()  // the texts may not stand yet; when they do they come into sight
  follow(box.root, "/steer?" + String(query).replace(/%2F/g, "/").replace(/%3A/g, ":").replace(/%2C/g, ",").replace(/\+/g, "%20"))
}

const short = id => id.split("/").slice(1).join("/")
const isNumber = text => String(text).trim() !== "" && Number.isFinite(Number(text))
const tidy = text => String(Number(text))

// -- drawing --------------------------------------------------------------------------------------------------------

function draw(box) {
  const { root, data, draft } = box
  const parts = []
  if (data.models.length > 1) parts.push(models(box))
  const head = el("div", "sub"), count = draft.features.length
  head.append(term("Features", data.about.steer), el("span", "soft", count > 1 ? `${count} together` : ""))
  parts.push(head)
  draft.features.forEach(feature => parts.push(row(box, feature)))
  if (!count) parts.push(el("div", "none", "None yet. Add one by its id, a link or a word; or begin with a preset."))
  parts.push(adder(box))
  if (draft.watch.length) parts.push(watched(box))
  parts.push(
    segment("Method", data.about.method, data.methods.map(([name, text, tip]) => [name, text, tip]), draft.method, name => method(box, name)),
    sampling(box),
  )
  if (data.presets) parts.push(more(box, "presets", "Presets", presets(box)))
  const had = root.getRootNode().activeElement?.dataset.name
  root.replaceChildren(...parts)
  if (had) root.querySelector(`[data-name="${CSS.escape(had)}"]`)?.focus()
  changed(box)
}

// Says whether what is set is what the texts were written with.
function changed(box) {
  const { draft, data } = box, { dice, ...now } = draft
  const plain = one => JSON.stringify({ ...one, features: one.features.map(f => [f.id, one.method === "ablate" ? 0 : Number(f.strength)]) })
  say(":changed", plain(now) !== plain(data.asked))
}

function models(box) {
  const row = el("div", "line"), select = el("select", "pill", undefined, { "aria-label": "Model", "data-name": "model" })
  for (const [id, name] of box.data.models) select.append(el("option", "", name, { value: id }))
  select.value = box.data.model
  select.onchange = () => follow(box.root, "/steer?model=" + encodeURIComponent(select.value))
  row.append(el("span", "name", "Model"), select)
  return row
}

function row(box, feature) {
  const { draft } = box, known = box.known.get(feature.id) ?? { label: "", max: null }
  const node = el("div", "feature"), head = el("div", "title")
  const name = known.href ? el("a", "", known.label || "no label", { href: known.href, "data-tip": about(known) })
    : el("span", "own", known.label || "a direction", { "data-tip": about(known), tabindex: "0" })
  head.append(name, el("span", "where", short(feature.id)), quiet("×", `Remove ${short(feature.id)}`, () => {
    draft.features = draft.features.filter(f => f !== feature)
    draw(box)
  }))
  node.append(head)
  if (draft.method === "ablate") { node.append(el("div", "soft", "held at 0")); return node }
  const scale = scaleOf(draft.method, known, Number(feature.strength) || 0)
  const slider = el("input", "", undefined, {
    type: "range", min: scale.low, max: scale.high, step: scale.step, "data-name": "slide" + feature.id, "aria-label": `Strength of ${known.label || short(feature.id)}`,
  })
  const number = el("input", "in", undefined, {
    type: "text", inputmode: "decimal", autocomplete: "off", "data-name": "strength" + feature.id, "aria-label": `Strength of ${known.label || short(feature.id)}, as a number`,
  })
  const times = el("span", "times")
  const show = () => {
    const value = Number(feature.strength), fine = isNumber(feature.strength)
    number.setAttribute("aria-invalid", !fine)
    times.textContent = fine ? meaning(draft.method, known, value) : "a number"
    const at = x => 100 * (Math.min(scale.high, Math.max(scale.low, x)) - scale.low) / (scale.high - scale.low)
    const [a, b] = [at(scale.rest), at(fine ? value : scale.rest)].sort((x, y) => x - y)
    slider.style.cssText = `--a:${a}%;--b:${b}%;--zero:${at(scale.rest)}%`
    slider.classList.toggle("neg", value < scale.rest)
    slider.setAttribute("aria-valuetext", times.textContent ? `${feature.strength}, ${times.textContent}` : feature.strength)
  }
  slider.value = feature.strength
  number.value = feature.strength
  slider.oninput = () => {
    const snap = (scale.high - scale.low) / 60  // 0 and the maximum are easily hit
    const value = [scale.rest, known.max].find(x => x && Math.abs(slider.value - x) < snap) ?? (Math.abs(slider.value - scale.rest) < snap ? scale.rest : Number(slider.value))
    feature.strength = number.value = digits(value)
    show(); changed(box)
  }
  number.oninput = () => {
    feature.strength = number.value.replace("−", "-").trim()
    if (isNumber(feature.strength)) slider.value = feature.strength
    show(); changed(box)
  }
  number.onkeydown = event => { if (event.key === "Enter") say(":run") }
  show()
  const line = el("div", "amount")
  line.append(slider, number, times)
  node.append(line)
  return node
}

const about = known => [known.id, known.hook ? `writes at ${known.hook}` : "", known.max ? `maximum ${num(known.max)}` : ""].filter(Boolean).join("\n")
const digits = value => String(Number(value.toPrecision(4)))

// How far a slider goes, and where it changes nothing.
function scaleOf(method, known, value) {
  if (method === "orthogonal") return ends(-5, 5, 0.1, value, 1)
  const unit = known.max > 0 ? known.max : Math.max(10, Math.abs(known.strength ?? 10))
  if (method === "cap") return ends(-unit, 2 * unit, unit / 40, value, 0)
  return ends(-4 * unit, 4 * unit, unit / 40, value, 0)
}

function ends(low, high, step, value, rest) {
  return { low: Math.min(low, value), high: Math.max(high, value), step: "any", rest }
}

// The strength in words: as a multiple of the feature's maximum where it is one.
function meaning(method, known, value) {
  if (method === "orthogonal") return value === 1 ? "as it is" : "× its part"
  if (method === "cap") return "at most"
  if (!(known.max > 0)) return method === "add" ? "× the vector" : ""
  const times = value / known.max
  return `${String(+times.toFixed(Math.abs(times) < 100 ? 2 : 0)).replace("-", "−")} × max`
}

function method(box, name) {
  const { draft } = box
  for (const feature of draft.features) {
    feature.kept = { ...feature.kept, [draft.method]: feature.strength }
    feature.strength = feature.kept[name] ?? usual(name, box.known.get(feature.id), feature.kept)
  }
  draft.method = name
  draw(box)
}

// A strength of one method says nothing in another: each keeps its own. `Feature.usual` in Python is the same.
function usual(method, known, kept = {}) {
  if (method === "ablate" || method === "cap") return "0"
  if (method === "orthogonal") return "3"
  return kept.add ?? kept.clamp ?? (known?.max > 0 ? String(Number((TIMES * known.max).toPrecision(3))) : String(known?.strength ?? 10))
}

function adder(box) {
  const { data } = box
  const form = el("form", "field"), wrap = el("div", "adder")
  const input = el("input", "in", undefined, {
    type: "text", placeholder: "2-res:78, a link, or a word", "aria-label": "Add a feature: its id, a link to it, or a word that it is for",
    autocomplete: "off", spellcheck: "false", "data-name": "add",
  })
  input.value = box.text
  input.oninput = () => { box.text = input.value }
  const add = el("button", "btn", "Add", { type: "submit", "aria-label": "Add the feature" })
  const watch = el("button", "btn", "Watch", { type: "button", "aria-label": "Watch the feature", "data-tip": data.about.watched })
  watch.onclick = () => find(box, "watch")
  form.append(input, add, watch)
  form.onsubmit = event => { event.preventDefault(); find(box, "features") }
  wrap.append(form)
  if (box.busy) wrap.append(el("div", "wait", box.busy))
  if (box.message) wrap.append(note(box.message))
  if (box.suggested.length) wrap.append(suggestions(box))
  const own = el("button", "act", data.vectors.length ? `Directions of your own (${data.vectors.length})` : "A direction of your own", { type: "button", "data-tip": data.about.direction })
  own.onclick = () => openDirections(box)
  wrap.append(own)
  return wrap
}

async function find(box, into) {
  if (!box.text.trim()) { box.root.querySelector('[data-name="add"]').focus(); return }
  box.busy = "Looking…"; box.message = ""; box.suggested = []
  draw(box)
  const answer = await box.ask("find", { text: box.text, near: box.draft.features.at(-1)?.id ?? "" })
  box.busy = ""
  box.message = answer.message ?? ""
  box.suggested = (answer.found ?? []).map(one => ({ ...one, into }))
  if (answer.feature) { box.text = ""; take(box, answer.feature, into) } else draw(box)
}

function take(box, known, into = "features") {
  const { draft } = box
  box.known.set(known.id, known)
  box.message = ""
  if (into === "watch" && known.own) box.message = "A direction of your own has no values to watch."
  else if (into === "watch") { if (!draft.watch.includes(known.id)) draft.watch.push(known.id) }
  else if (draft.features.some(f => f.id === known.id)) box.message = `${short(known.id)} is there already.`
  else draft.features.push({ id: known.id, strength: usual(draft.method, known) })
  draw(box)
}

function suggestions(box) {
  const list = el("div", "found", undefined, { role: "group", "aria-label": "Features that fit the word" })
  for (const one of box.suggested) {
    const button = el("button", "hit", undefined, { type: "button" })
    button.append(el("span", "l", one.label || "no label"), el("span", "where", short(one.id)))
    if (one.promotes) button.append(el("span", "soft wide", "promotes " + one.promotes))
    button.onclick = () => { box.suggested = box.suggested.filter(s => s !== one); box.text = ""; take(box, one, one.into) }
    list.append(button)
  }
  return list
}

function watched(box) {
  const { draft, data } = box, row = el("div", "line"), chips = el("span", "seg")
  for (const id of draft.watch) {
    const known = box.known.get(id), chip = el("span", "chip")
    chip.append(el("span", "", known?.label || short(id), { "data-tip": known ? about(known) : id }), quiet("×", `Do not watch ${short(id)}`, () => {
      draft.watch = draft.watch.filter(w => w !== id)
      draw(box)
    }))
    chips.append(chip)
  }
  row.append(term("Watched", data.about.watched), chips)
  return row
}

function sampling(box) {
  const { draft, data } = box, grid = el("div", "grid")
  for (const [name, label, tip, attributes] of data.numbers) {
    const field = el("label", "number"), input = el("input", "in", undefined, { type: "number", "data-name": name, "aria-label": label, ...attributes })
    input.value = draft[name]
    input.oninput = () => { draft[name] = input.value; if (name === "seed") box.dice = draft.dice = false; changed(box) }
    input.onkeydown = event => { if (event.key === "Enter") say(":run") }
    field.append(term(label, tip))
    if (name === "seed") {
      const dice = quiet("⚄", "A new seed each time: click again to keep it", () => { box.dice = draft.dice = !draft.dice; draw(box) }, "dice")
      dice.setAttribute("aria-pressed", draft.dice)
      dice.dataset.name = "dice"
      field.append(dice)
    }
    field.append(input)
    grid.append(field)
  }
  const unit = el("label", "check"), tick = el("input", "", undefined, { type: "checkbox", "data-name": "unit" })
  tick.checked = draft.unit
  tick.onchange = () => { draft.unit = tick.checked; changed(box) }
  unit.append(tick, term("Unit directions", data.about.unit))
  const inside = el("div", "inside")
  inside.append(grid, unit)
  const said = [`${draft.length} tokens`, `temperature ${draft.temperature}`, draft.dice ? "a new seed each time" : `seed ${draft.seed}`].join(" · ")
  return more(box, "sampling", "Sampling", inside, said)
}

function more(box, name, label, body, said = "") {
  const node = el("details", "more"), head = el("summary", "", undefined, { "data-name": "more" + name })
  head.append(el("span", "", label), el("span", "soft", said))
  node.open = box.open[name] ?? false
  node.ontoggle = () => { if (node.isConnected) box.open[name] = node.open }
  node.append(head, body)
  return node
}

function presets(box) {
  const pills = el("div", "seg presets")
  for (const [name, tip, href] of box.data.presets) pills.append(el("a", "pill", name, { href, "data-stay": "", "data-tip": tip }))
  if (!box.data.presets.length) pills.append(el("span", "soft", "There are none for this model."))
  return pills
}

// -- directions of one's own ----------------------------------------------------------------------------------------

function openDirections(box) {
  const dialog = el("dialog", "", undefined, { "aria-labelledby": "own-title" })
  const own = { dialog, message: "", busy: "", sure: "", file: null, form: { label: "", hook: box.data.hooks[0] ?? "", strength: "10", numbers: "" } }
  dialog.onclose = () => dialog.remove()
  dialog.onclick = event => { if (event.target === dialog) dialog.close() }
  box.root.parentNode.append(dialog)
  directions(box, own)
  dialog.showModal()
}

function directions(box, own) {
  const head = el("div", "head"), body = el("div", "body"), list = el("div", "vectors")
  head.append(el("h2", "", "Directions of your own", { id: "own-title" }), quiet("×", "Close", () => own.dialog.close(), "close"))
  for (const one of box.data.vectors) list.append(direction(box, own, one))
  if (!box.data.vectors.length) list.append(el("div", "soft", "None yet. What is saved here is on this server, for everybody who uses it."))
  body.append(list, newDirection(box, own))
  own.dialog.replaceChildren(head, body)
}

function direction(box, own, one) {
  const line = el("div", "vector"), name = el("div", "l"), sure = own.sure === one.id
  name.append(el("b", "", one.label), el("span", "where", `${one.hook} · ${one.size.toLocaleString("en")} numbers`))
  const use = el("button", "btn", "Add", { type: "button" })
  use.disabled = box.draft.features.some(f => f.id === one.id)
  use.onclick = () => { take(box, one); own.dialog.close() }
  const drop = quiet(sure ? "Really?" : "Delete", sure ? `${one.label} is gone for everybody then` : `Delete ${one.label}`, async () => {
    if (!sure) { own.sure = one.id; return directions(box, own) }
    const answer = await server(box, own, "Deleting…", "drop", { id: one.id })
    if (!answer.message) box.draft.features = box.draft.features.filter(f => f.id !== one.id)
    draw(box)
  })
  line.append(name, use, drop)
  return line
}

async function server(box, own, busy, what, more) {
  Object.assign(own, { busy, message: "" })
  directions(box, own)
  const answer = await box.ask(what, more)
  Object.assign(own, { busy: "", message: answer.message ?? "", sure: "" })
  directions(box, own)
  return answer
}

function newDirection(box, own) {
  const { data, draft } = box, form = el("form", "new"), values = own.form
  const field = (name, label, node) => {
    const wrap = el("label", "labelled")
    node.value = values[name]
    node.oninput = () => { values[name] = node.value }
    wrap.append(el("span", "soft", label), node)
    return wrap
  }
  const hook = el("select", "in"), pair = el("div", "pair"), buttons = el("div", "seg")
  for (const place of data.hooks) hook.append(el("option", "", place, { value: place }))
  const file = el("input", "file", undefined, { type: "file", accept: data.kinds.join(","), "aria-label": "A file with the numbers" })
  file.onchange = () => { own.file = file.files[0] ?? null }
  pair.append(
    field("label", "Name", el("input", "in", undefined, { type: "text", maxlength: 120, placeholder: "a direction" })),
    field("strength", "Strength to begin with", el("input", "in", undefined, { type: "text", inputmode: "decimal" })),
  )
  const keep = async more => {
    const busy = data.ready ? "Saving…" : "Loading the model, then saving…"
    const answer = await server(box, own, busy, "vector", { label: values.label, ...more })
    if (!answer.feature) return
    box.known.set(answer.feature.id, answer.feature)
    if (!more.features) { own.dialog.close(); take(box, answer.feature) }
  }
  const save = el("button", "btn p", "Save the numbers", { type: "submit" })
  const sum = el("button", "btn", "Save the sum of the features at hand", { type: "button", "data-tip": data.about.sum })
  save.disabled = Boolean(own.busy)
  sum.disabled = save.disabled || !draft.features.length || draft.method === "ablate"
  sum.onclick = () => keep({ features: draft.features.map(f => [f.id, Number(f.strength)]) })
  form.onsubmit = async event => {
    event.preventDefault()
    if (own.file?.size > data.largest) {
      own.message = `The file is too large: at most ${Math.round(data.largest / 1e6)} MB are read.`
      return directions(box, own)
    }
    const content = own.file && { name: own.file.name, data: await base64(own.file) }
    keep({ hook: values.hook, strength: values.strength, numbers: content ? "" : values.numbers, file: content })
  }
  form.append(
    el("h3", "", "A new one"), pair, field("hook", "Where it is added", hook),
    field("numbers", "Its numbers: with commas or blanks between, or as JSON", el("textarea", "in", undefined, { rows: 3, spellcheck: "false", placeholder: "0.12, -0.4, …" })),
    el("span", "soft", `or a file of them: ${data.kinds.join(", ")}`), file,
  )
  if (own.busy) form.append(el("div", "wait", own.busy))
  if (own.message) form.append(note(own.message))
  buttons.append(save, sum)
  form.append(buttons)
  return form
}

function base64(file) {
  return new Promise(done => {
    const reader = new FileReader()
    reader.onload = () => done(String(reader.result).split(",", 2)[1] ?? "")
    reader.readAsDataURL(file)
  })
}

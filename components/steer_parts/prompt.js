// What the model goes on from, a prompt or a chat, and which of its tokens are steered. “Steer” asks the setup to put it
// all into the address.
const boxes = new WeakMap()
const ROLES = ["user", "assistant", "system"]

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root")
  if (!root || !data) return
  let box = boxes.get(root)
  if (!box) { box = build(root); boxes.set(root, box) }
  box.fire = setTriggerValue
  box.data = data
  box.heard(data.answer)
  if (box.mark !== data.mark) {
    box.mark = data.mark
    box.draft = structuredClone(data.asked)
    box.wrong = ""
    box.tokens = data.tokens
    box.read = data.asked.prompt
    box.chat = data.asked.turns.length > 0
    box.openTokens ||= Boolean(data.asked.tokens.length || data.asked.special || data.asked.where !== "all")
  }
  passTips(root)
  const shown = JSON.stringify([data.mark, data.chats, data.openings, data.shown])
  if (box.shown !== shown) { box.shown = shown; draw(box) }  // else whoever is writing is left alone
}

function build(root) {
  const box = { root, mark: null, wrong: "", tokens: null, read: null, chat: false, openTokens: false, changed: false, warmed: false }
  box.ask = asker(box)
  listen(root, ":run", () => run(box))
  listen(root, ":wrong", text => { box.wrong = text; draw(box) })
  listen(root, ":changed", changed => { box.changed = changed; mark(box) })
  listen(root, ":goon", texts => goOn(box, texts))
  onKey(root, (event, busy) => {
    if (event.key !== "/" || busy || event.ctrlKey || event.metaKey) return
    event.preventDefault()
    root.querySelector("textarea")?.focus()
  })
  return box
}

function run(box) {
  const { draft } = box
  box.wrong = ""
  const turns = draft.turns.filter(turn => turn[1].trim())
  if (box.chat && turns.at(-1)?.[0] !== "user") box.wrong = "A chat ends with what the user says: write a last message."
  if (!box.chat && !draft.prompt.trim()) box.wrong = "Write a prompt first, or click an example."
  draw(box)
  if (box.wrong) { box.root.querySelector("textarea")?.focus(); return }
  say(":go", {
    prompt: box.chat ? "" : draft.prompt, chat: box.chat ? JSON.stringify(turns) : "",
    where: draft.where, tokens: box.chat ? [] : draft.tokens, special: draft.special,
  })
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)
const touched = box => box.changed || !same(box.draft, box.data.asked)
function mark(box) { box.root.querySelector(".go")?.classList.toggle("touched", box.data.shown && touched(box)) }

// -- drawing --------------------------------------------------------------------------------------------------------

function draw(box) {
  const { root, data } = box, head = el("div", "sub"), modes = el("span", "seg", undefined, { role: "group", "aria-label": "What is given to the model" })
  const turn = chat => () => { box.chat = chat; draw(box) }
  modes.append(pill("Prompt", !box.chat, turn(false)), pill("Chat", box.chat, turn(true), data.about.chat))
  const name = el("label", "name", box.chat ? "A chat for the model to answer" : "A prompt for the model to go on with", { for: "prompt" })
  name.append(el("span", "soft keys", "Enter steers, Shift+Enter starts a line"))
  head.append(name, modes)
  const parts = [head, ...(box.chat ? chat(box) : prompt(box))]
  if (box.wrong) parts.push(note(box.wrong))
  const had = root.getRootNode().activeElement?.dataset.name, at = root.getRootNode().activeElement?.selectionStart
  root.replaceChildren(...parts)
  const again = had && root.querySelector(`[data-name="${CSS.escape(had)}"]`)
  if (again) { again.focus(); if (at !== undefined && at !== null && again.tagName === "TEXTAREA") again.setSelectionRange(at, at) }
  mark(box)
}

function go(box) {
  const button = el("button", "go", "Steer", { type: "button", "data-name": "go", "data-tip": "Writes both texts. Enter does the same." })
  button.onclick = () => run(box)
  return button
}

// Enter steers, as it searches and tests elsewhere; Shift+Enter starts a line.
function area(box, name, value, placeholder, label, set) {
  const node = el("textarea", "", undefined, { rows: 1, spellcheck: "false", placeholder, "aria-label": label, "data-name": name })
  node.value = value
  node.oninput = () => {
    set(node.value)
    mark(box)
    if (!box.warmed && !box.data.ready) { box.warmed = true; box.ask("warm") }
  }
  node.onkeydown = event => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); run(box) }
  }
  return node
}

function prompt(box) {
  const { draft, data } = box, row = el("div", "field")
  const node = area(box, "prompt", draft.prompt, "The old house was", "Prompt", text => { draft.prompt = text; later(box) })
  node.id = "prompt"
  row.append(node, go(box))
  const openings = el("div", "seg openings")
  openings.append(el("span", "soft", "Openings"))
  for (const text of data.openings) {
    const button = pill(text, draft.prompt === text, () => { draft.prompt = text; later(box); draw(box) })
    button.removeAttribute("aria-pressed")
    openings.append(button)
  }
  return [row, openings, tokens(box)]
}

// -- which tokens ---------------------------------------------------------------------------------------------------

const PLACES = [["all", "All tokens"], ["prompt", "Of the prompt"], ["generated", "Of what is written"]]

function tokens(box) {
  const { draft, data } = box, node = el("details", "more"), head = el("summary", "", undefined, { "data-name": "tokens" })
  const count = draft.tokens.length
  const some = count ? `${count} of the prompt’s${draft.where === "all" ? ", and what is written" : ""}` : PLACES.find(p => p[0] === draft.where)[1].toLowerCase()
  head.append(el("span", "", "Which tokens are steered"), el("span", "soft", some + (draft.special ? ", special ones too" : "")))
  node.open = box.openTokens
  node.ontoggle = () => { if (node.isConnected) { box.openTokens = node.open; if (node.open) look(box) } }
  const inside = el("div", "inside")
  inside.append(segment("Where", data.about.where, PLACES, draft.where, where => {
    draft.where = where
    if (where === "generated") draft.tokens = []
    draw(box)
  }))
  if (!box.chat && draft.where !== "generated") inside.append(strip(box))
  const line = el("label", "check"), tick = el("input", "", undefined, { type: "checkbox", "data-name": "special" })
  tick.checked = draft.special
  tick.onchange = () => {
    draft.special = tick.checked
    if (!tick.checked && box.tokens) draft.tokens = draft.tokens.filter(n => !box.tokens[n]?.[1])
    draw(box)
  }
  line.append(tick, term("Special tokens of the prompt too, such as BOS", data.about.special))
  inside.append(line)
  node.append(head, inside)
  return node
}

function strip(box) {
  const { draft } = box
  if (box.unread) return note(box.unread)
  if (!box.tokens || box.read !== draft.prompt) return el("div", "soft", draft.prompt.trim() ? "Reading the prompt…" : "Write a prompt to choose among its tokens.")
  const row = el("div", "fs-strip choose", undefined, { role: "group", "aria-label": "Tokens of the prompt: arrow keys walk, Enter chooses" })
  box.tokens.forEach(([text, special, partial], n) => {
    const button = el("span", "t" + (special ? " s" : partial && !text ? " p" : ""), undefined, {
      role: "button", tabindex: "-1", "aria-pressed": draft.tokens.includes(n), "data-name": "token" + n, "aria-label": `token ${n}: ${text || "part of a character"}`,
      "data-tip": special && !draft.special ? `${text}\nspecial tokens are left alone unless that is ticked` : `${JSON.stringify(text)}\nposition ${n}`,
    })
    if (special) button.textContent = text; else drawText(button, text, false)
    const toggle = () => {
      if (special && !draft.special) return
      draft.tokens = draft.tokens.includes(n) ? draft.tokens.filter(m => m !== n) : [...draft.tokens, n].sort((a, b) => a - b)
      draw(box)
    }
    button.onclick = toggle
    button.onkeydown = event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle() } }
    row.append(button)
  })
  walkable(row, draft.tokens[0] ?? 0)
  const wrap = el("div"), hint = el("div", "hint")
  hint.append(el("span", "", draft.tokens.length ? "Only these of the prompt are steered." : "Click tokens to steer only these of the prompt."))
  if (draft.tokens.length) {
    const all = el("button", "act", "All tokens", { type: "button", "data-name": "every" })
    all.onclick = () => { draft.tokens = []; draw(box) }
    hint.append(all)
  }
  wrap.append(row, hint)
  return wrap
}

// The tokens of what is being written, a moment after the last letter; chosen ones belong to the text that they were of.
function later(box) {
  box.draft.tokens = []
  clearTimeout(box.soon)
  box.soon = setTimeout(() => { if (box.openTokens) look(box) }, 400)
}

async function look(box) {
  const text = box.draft.prompt
  if (box.read === text && box.tokens || !text.trim()) return
  const answer = await box.ask("tokens", { text })
  if (box.draft.prompt !== text) return
  Object.assign(box, { tokens: answer.tokens ?? null, read: text, unread: answer.message ?? "" })
  draw(box)
}

// -- a chat ---------------------------------------------------------------------------------------------------------

function chat(box) {
  const { draft, data } = box
  if (data.chats === false) return [el("div", "none", `${data.model} is no chat model: its tokenizer has no chat template. Give it a prompt to go on with.`)]
  const parts = []
  if (data.chats === null) parts.push(el("div", "soft", "Whether this model has a chat template is known once it is loaded."))
  if (!draft.turns.length) draft.turns = [["system", ""], ["user", ""]]
  draft.turns.forEach((turn, n) => parts.push(message(box, turn, n)))
  const foot = el("div", "field foot"), add = el("button", "btn", "+ Message", { type: "button" })
  add.onclick = () => { draft.turns.push([draft.turns.at(-1)?.[0] === "user" ? "assistant" : "user", ""]); draw(box) }
  foot.append(add, el("span", "grow"), go(box))
  return [...parts, foot, tokens(box)]
}

function message(box, turn, n) {
  const { draft } = box, row = el("div", "turn"), role = el("select", "pill", undefined, { "aria-label": `Who says message ${n + 1}`, "data-name": "role" + n })
  for (const name of ROLES) role.append(el("option", "", name, { value: name }))
  role.value = turn[0]
  role.onchange = () => { turn[0] = role.value; draw(box) }
  const texts = el("div", "texts"), two = turn.length > 2
  const texted = (at, label) => area(box, `turn${n}-${at}`, turn[at], turn[0] === "system" ? "How the assistant is to behave; may stay empty" : "…", label, text => { turn[at] = text })
  if (two) texts.append(el("span", "soft", "default"), texted(1, `Message ${n + 1}, default`), el("span", "soft", "steered"), texted(2, `Message ${n + 1}, steered`))
  else texts.append(texted(1, `Message ${n + 1}`))
  row.append(role, texts, quiet("×", `Remove message ${n + 1}`, () => { draft.turns.splice(n, 1); draw(box) }))
  return row
}

// A chat goes on from what each of the two said.
function goOn(box, { standard, steered }) {
  const { draft } = box
  draft.turns = draft.turns.filter(turn => turn[1].trim())
  draft.turns.push(standard === steered ? ["assistant", standard] : ["assistant", standard, steered], ["user", ""])
  box.chat = true
  draw(box)
  box.root.querySelector(`[data-name="turn${draft.turns.length - 1}-1"]`)?.focus()
}

// The dialog that gives the lines to copy: what to show, how large, with which text; and what it will look like.
// It asks the server nothing. The address is that of the page it stands on, which is how readers reach the server.
const dialogs = new WeakMap(), waiting = new WeakMap()
const TEXT = "defaulttesttext"

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector("#root")
  if (!root || !data) return
  const ask = () => {
    let box = dialogs.get(root)
    if (!box) { box = build(root, data); dialogs.set(root, box) }
    box.text.value = new URLSearchParams(location.search).get(TEXT) ?? box.text.value
    choose(box, box.kind)
    if (!box.dialog.open) box.dialog.showModal()
  }
  // The address is there before the page that belongs to it.
  const here = () => new URLSearchParams(location.search).get("id") === data.id
  const open = event => {
    if (!event.composedPath().some(node => node instanceof Element && "embed" in (node.dataset ?? {}))) return
    here() ? ask() : waiting.set(root, setTimeout(ask, 2000))
  }
  const before = dialogs.get(root)
  if (before && before.data.id !== data.id) {  // another feature came, perhaps while the dialog of the last one was open
    const was = before.dialog.open
    before.dialog.close()
    dialogs.delete(root)
    if (was) ask()
  }
  if (waiting.has(root) && here()) {
    clearTimeout(waiting.get(root))
    waiting.delete(root)
    ask()
  }
  document.addEventListener("click", open)
  return () => document.removeEventListener("click", open)
}

function el(tag, cls, text, attributes) {
  const node = document.createElement(tag)
  if (cls) node.className = cls
  if (text !== undefined) node.textContent = text
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value)
  return node
}

function build(root, data) {
  const box = { data, kind: data.kinds[0], parts: new Map(), src: "" }
  box.dialog = el("dialog", "", undefined, { "aria-labelledby": "embed-title" })
  const head = el("div", "head"), body = el("div", "body"), left = el("form", "left", undefined, { method: "dialog" }), right = el("div", "right")
  const close = el("button", "quiet", "×", { type: "button", "aria-label": "Close" })
  close.onclick = () => box.dialog.close()
  head.append(el("h2", "", "Embed this feature", { id: "embed-title" }), close)

  box.kinds = data.kinds.map(kind => {
    const button = el("button", "pill", kind.label, { type: "button", "data-tip": kind.about })
    button.onclick = () => { choose(box, kind); show(box) }
    return button
  })
  const what = group("What"); what.append(...box.kinds)
  box.text = el("input", "in", undefined, { type: "text", placeholder: "A sentence, or nothing", "aria-label": "Text that is tested at once", spellcheck: "false" })
  box.textGroup = group("Text that is tested at once"); box.textGroup.append(box.text)
  box.strength = el("input", "in", undefined, { type: "number", step: "any", "aria-label": "Strength" })
  box.strengthGroup = group("Strength"); box.strengthGroup.append(box.strength)
  box.partsGroup = group("Show")
  box.partsGroup.classList.add("parts")
  for (const [name, label] of data.parts) box.parts.set(name, check(box.partsGroup, label, true))
  box.theme = el("select", "in", undefined, { "aria-label": "Theme" })
  for (const [value, label] of [["", "As the reader’s system"], ["light", "Light"], ["dark", "Dark"]]) box.theme.append(el("option", "", label, { value }))
  const theme = group("Theme"); theme.append(box.theme)
  const size = group("Size in pixels")
  const [width, height] = ["Width", "Height"].map(name => el("input", "in", undefined, { type: "number", min: 160, max: 4000, step: 10, "aria-label": name }))
  Object.assign(box, { width, height })
  size.append(width, el("span", "soft", "×"), height)
  box.fill = check(size, "as wide as the text around it", false)
  left.append(what, box.textGroup, box.strengthGroup, box.partsGroup, theme, size)
  left.onsubmit = event => event.preventDefault()
  left.oninput = () => { tidy(box); show(box, 450) }

  box.stage = el("div", "stage")
  box.frame = el("iframe", "", undefined, { title: "Preview" })
  box.stage.append(box.frame)
  box.caption = el("div", "soft caption")
  box.code = el("pre", "code", undefined, { tabindex: "0", "aria-label": "The iframe as HTML" })
  const copies = el("div", "copies")
  box.copies = ["iframe", "Markdown", "link"].map((name, i) => {
    const button = el("button", i ? "btn" : "btn p", `Copy ${name}`, { type: "button", "data-tip": ABOUT[i] })
    copies.append(button)
    return button
  })
  box.local = el("p", "soft note", "This address is one of this machine. Readers elsewhere need one that they can reach: open this page there, and copy from it.")
  box.local.hidden = !/^(localhost|127\.|\[::1\]|.*\.localhost$)/.test(location.hostname)
  right.append(box.stage, box.caption, box.code, copies, box.local)
  body.append(left, right)
  box.dialog.append(head, body)
  box.dialog.addEventListener("close", () => { box.src = ""; box.frame.removeAttribute("src"); box.frame.src = "about:blank" })
  box.dialog.addEventListener("click", event => { if (event.target === box.dialog) box.dialog.close() })
  new ResizeObserver(() => fit(box)).observe(box.stage)
  root.replaceChildren(box.dialog)
  return box
}

const ABOUT = [
  "HTML for a post, a notebook or a page",
  "A link to the whole page, for where no HTML is read",
  "The address of the embed alone, for editors that make a frame of it",
]

function group(name) {
  const node = el("fieldset")
  node.append(el("legend", "", name))
  return node
}

function check(parent, label, on) {
  const line = el("label", "check"), input = el("input", "", undefined, { type: "checkbox" })
  input.checked = on
  line.append(input, label)
  parent.append(line)
  return input
}

function choose(box, kind) {
  box.kind = kind
  box.kinds.forEach((button, i) => button.setAttribute("aria-pressed", box.data.kinds[i] === kind))
  box.partsGroup.hidden = !kind.parts
  box.textGroup.querySelector("legend").textContent = kind.says
  box.text.setAttribute("aria-label", kind.says)
  box.strengthGroup.hidden = kind.strength === undefined
  if (!box.strength.value) box.strength.value = kind.strength ?? ""
  box.width.value = kind.width
  box.height.value = kind.height
  show(box)
}

// A result without its field needs a text; a field without a place for its results is nothing.
function tidy(box) {
  const test = box.parts.get("test"), field = box.parts.get("testfield")  // neither, where the weights are not here
  if (field) field.disabled = !test.checked
}

let later
function show(box, wait = 0) {
  const { url, html, markdown } = lines(box)
  box.code.textContent = html
  ;[html, markdown, url].forEach((text, i) => { box.copies[i].dataset.copy = text })
  clearTimeout(later)
  later = setTimeout(() => {
    if (box.src === url || !box.dialog.open) return
    box.src = url
    box.frame.src = url
  }, wait || 30)
  fit(box)
}

// A frame that is wider than the dialog is drawn smaller, and says so.
function fit(box) {
  const room = box.stage.clientWidth, [width, height] = size(box)
  if (!room) return
  const scale = Math.min(1, room / width)
  Object.assign(box.frame.style, { width: width + "px", height: height + "px", transform: `scale(${scale})` })
  box.stage.style.height = Math.ceil(height * scale) + "px"
  box.caption.textContent = `${box.fill.checked ? "as wide as there is room" : width} × ${height}` + (scale < 1 ? `, drawn at ${Math.round(scale * 100)} %` : "")
}

function size(box) {
  const bounded = (input, usual) => Math.min(4000, Math.max(160, Math.round(+input.value) || usual))
  return [box.fill.checked ? Math.max(160, box.stage.clientWidth) : bounded(box.width, box.kind.width), bounded(box.height, box.kind.height)]
}

const base = () => location.origin + location.pathname.replace(/\/[^/]*$/, "")

// The same characters as Python's `quote(text, safe="/")`; half a surrogate pair is no text and cannot be written.
const quoted = text => encodeURIComponent(text.toWellFormed?.() ?? text).replace(/[!'()*]/g, c => "%" + c.charCodeAt(0).toString(16).toUpperCase()).replaceAll("%2F", "/")
const address = (path, pairs) => base() + path + "?" + pairs.map(([name, value]) => `${name}=${quoted(value)}`).join("&")
const escaped = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

function lines(box) {
  const { data, kind } = box, text = box.text.value.trim(), [width, height] = size(box)
  const pairs = [["id", data.id]]
  if (kind.parts) {
    pairs.push(["embed", "true"])
    for (const [name, input] of box.parts) if (!input.checked) pairs.push([`embed${name}`, "false"])
  }
  if (text) pairs.push([kind.text, text])
  const strength = kind.strength === undefined ? "" : String(Number.isFinite(box.strength.valueAsNumber) ? box.strength.valueAsNumber : kind.strength)
  if (strength) pairs.push(["strength", strength])
  if (box.theme.value) pairs.push(["theme", box.theme.value])
  const url = address(kind.path, pairs)
  const [model, ...rest] = data.id.split("/")
  const page = strength ? address("/steer", [["model", model], ["features", `${rest.join("/")}:${strength}`], ...(text ? [["prompt", text]] : [])])
    : address("/feature", [["id", data.id], ...(text ? [[TEXT, text]] : [])])
  const title = data.title === data.id ? data.title : `${data.title} · ${data.id}`
  const wide = box.fill.checked ? "100%" : width
  return {
    url,
    html: `<iframe src="${escaped(url)}" title="${escaped(title)}" width="${wide}" height="${height}" style="border:0;max-width:100%" loading="lazy"></iframe>`,
    markdown: `[${title.replace(/[\\`*_{}[\]<>#|~&!]/g, "\\$&").replace(/\s+/g, " ")}](${page})`,
  }
}

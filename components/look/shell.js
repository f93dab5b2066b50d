// The shell: links, forms, copying and tooltips of the static parts of every page. It keeps no state of its own: a link
// changes the URL and tells Streamlit about it the way the Back button does, so that every view stays its URL.
const PAGES = new Set(["", "feature", "model", "release", "set", "source", "glossary", "search", "meaning", "similar", "compare", "universal", "quality", "leaderboard", "map", "scan", "redteam", "steer", "circuit", "pair", "template", "lists", "list", "quick-list", "suite", "suites", "play", "explanations", "person", "activity", "moderation", "sign-in", "account", "server"])

function go(url, stay) {
  history.pushState({}, "", url)
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }))
  const main = document.querySelector('[data-testid="stMain"]')
  if (main && !stay) main.scrollTo({ top: 0 })
}

// A choice redraws the part of the page that it stands in: the keyboard stays on it.
let returning
function comeBack(link) {
  const marks = link.id ? ["#" + CSS.escape(link.id)] : []
  const name = link.textContent, group = link.parentElement?.getAttribute("aria-label")
  returning?.disconnect()
  const find = () => (marks.length ? document.querySelector(marks[0])
    : [...document.querySelectorAll("a[data-stay]")].find(a => a.textContent === name && a.parentElement?.getAttribute("aria-label") === group))
  returning = new MutationObserver(() => {
    if (link.isConnected || (document.activeElement && document.activeElement !== document.body)) return
    const again = find()
    if (again) { if (again.closest("[data-walk]")) walkTo(again); again.focus({ preventScroll: true }) }
  })
  returning.observe(document.body, { childList: true, subtree: true })
  setTimeout(() => returning.disconnect(), 5000)
}

// Several clicks may come before the page is drawn again, so a list in the address is changed where it stands.
function toggled(link) {
  const [name, value] = link.dataset.toggle.split(":"), url = new URL(location.href), picked = name === "picked"
  const held = new Set((url.searchParams.get(name) ?? "").split(",").filter(Boolean))
  held.delete(value) || held.add(value)
  link.setAttribute(picked ? "aria-checked" : "aria-pressed", held.has(value))
  if (!picked) url.searchParams.delete("page")
  const all = picked ? [...held] : [...held].sort((a, b) => a - b)
  all.length ? url.searchParams.set(name, all.join(",")) : url.searchParams.delete(name)
  return url.pathname + url.search
}

// One tab stop for a row of links; the arrow keys walk it.
function walkTo(link) {
  for (const other of link.closest("[data-walk]").querySelectorAll("[tabindex]")) other.tabIndex = -1
  link.tabIndex = 0
}

function walk(event, link) {
  const row = [...link.closest("[data-walk]").querySelectorAll("[tabindex]")], now = row.indexOf(link)
  const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: row.length - 1 }[event.key]
  if (!row[next]) return
  event.preventDefault()
  walkTo(row[next])
  row[next].focus()
}

// Elements of open shadow roots are on the composed path, so one listener serves components too.
const find = (event, test) => event.composedPath().find(node => node instanceof Element && test(node))

async function copy(text, button) {
  let done = true
  try { await navigator.clipboard.writeText(text) }
  catch {  // no clipboard without https, save on this machine: the old way still works
    const area = Object.assign(document.createElement("textarea"), { value: text })
    (button.closest("dialog") ?? document.body).append(area); area.select()  // outside of an open dialog nothing can be selected
    done = document.execCommand("copy"); area.remove()
  }
  const before = button.dataset.label ?? (button.dataset.label = button.textContent)
  button.textContent = done ? "Copied ✓" : "Press Ctrl+C"
  clearTimeout(button._back); button._back = setTimeout(() => { button.textContent = before }, 1600)
}

// In somebody's frame: what is there stays there, and every link opens a tab of its own.
const embedded = [...new URLSearchParams(location.search)].some(([name, value]) => name === "embed" && value.toLowerCase() === "true")
if (embedded) document.head.append(Object.assign(document.createElement("base"), { target: "_blank" }))

function onClick(event) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const copier = find(event, n => n.dataset && "copy" in n.dataset)
  if (copier) {
    const text = copier.dataset.copy || location.href
    copy(text.startsWith("/") ? location.origin + text : text, copier)  // a path of this server works anywhere as a whole address
    return
  }
  const chooser = find(event, n => n.dataset && "choose" in n.dataset)
  if (chooser) {  // a visitor's own choice, kept by this browser
    document.cookie = `${chooser.dataset.choose}; path=/; max-age=31536000; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}`
    location.reload()
    return
  }
  const filler = find(event, n => n.dataset && "fill" in n.dataset)
  if (filler) {
    const field = document.querySelector(filler.dataset.target)
    if (field) { field.value = filler.dataset.fill; field.focus() }
    return
  }
  const link = find(event, n => n.tagName === "A" && n.href)
  if (!link || link.target || embedded || link.hasAttribute("download")) return
  const url = new URL(link.href, location.href)
  if (url.origin !== location.origin || !PAGES.has(url.pathname.slice(1))) return
  if (url.hash && url.pathname === location.pathname && url.search === location.search) return
  event.preventDefault()
  const stay = "stay" in link.dataset
  if (stay) comeBack(link)
  go(link.dataset.toggle ? toggled(link) : url.pathname + url.search, stay)
}

function onSubmit(event) {
  const form = find(event, n => n.tagName === "FORM" && n.dataset.go)
  if (!form) return
  event.preventDefault()
  // a second button may lead elsewhere, to a page that calls the text by another name
  const { go: to = form.dataset.go, text } = event.submitter?.dataset ?? {}
  const query = new URLSearchParams()
  const chosen = form.querySelector('select[data-name="model"]')?.value
  for (const field of form.querySelectorAll("[data-name]")) {
    const { name, only = to, model = chosen } = field.dataset
    if (only === to && (!chosen || model === chosen) && field.value.trim())
      query.append(name === "text" && text ? text : name, "whole" in field.dataset ? field.value : field.value.trim())
  }
  go(to + (String(query) ? "?" + query : ""))
}

function onKey(event) {
  const typing = event.composedPath()[0]
  const busy = typing instanceof Element && (/^(INPUT|TEXTAREA|SELECT)$/.test(typing.tagName) || typing.isContentEditable)
  if (event.key === "Escape") hide()
  if (event.key === "/" && !busy && !event.ctrlKey && !event.metaKey) {
    const jump = document.querySelector('[data-name="jump"], #fs-text')
    if (jump) { event.preventDefault(); jump.focus(); jump.select() }
  }
  const choice = event.target?.closest?.("a[role=button], a[role=checkbox]")
  if (choice && event.key === " ") { event.preventDefault(); choice.click() }
  if (choice?.closest("[data-walk]")) walk(event, choice)
  if (event.key === "Enter" && event.target?.tagName === "TEXTAREA" && !event.shiftKey && !event.isComposing) {
    const form = find(event, n => n.tagName === "FORM" && n.dataset.go)
    if (form) { event.preventDefault(); form.requestSubmit() }
  }
}

let tip
function hide() { if (tip) tip.hidden = true }
function show(event) {
  const node = find(event, n => n._fsTip || (n.dataset && n.dataset.tip))
  if (!node) return hide()
  const text = node._fsTip ? node._fsTip() : node.dataset.tip
  if (!text) return hide()
  if (!tip || !tip.isConnected) {
    tip = Object.assign(document.createElement("div"), { id: "fs-tip", hidden: true })
    tip.setAttribute("role", "tooltip")
    document.body.append(tip)
  }
  tip.textContent = text
  tip.style.left = tip.style.top = "0"  // measured where nothing squeezes it
  tip.hidden = false
  const at = node.getClientRects()[0] ?? node.getBoundingClientRect(), own = tip.getBoundingClientRect()
  const left = Math.max(8, Math.min(at.left, innerWidth - own.width - 8))
  const above = at.top - own.height - 6
  tip.style.left = left + "px"
  tip.style.top = (above > 8 ? above : Math.min(at.bottom + 6, innerHeight - own.height - 8)) + "px"
}

// The model loads while a sentence is being typed. What is on the page does not change by it.
let fire
const warmed = new Set()
function onInput(event) {
  const model = event.target?.dataset?.warm
  if (!model || warmed.has(model) || !fire) return
  warmed.add(model)
  fire("warm", model)
}

export default function ({ setTriggerValue }) {
  fire = setTriggerValue
  if (window.__featurescopeShell) return
  window.__featurescopeShell = true
  window.featurescopeTips = { show, hide }  // moves inside one shadow root are not heard out here: components pass them on
  document.addEventListener("click", onClick)
  document.addEventListener("submit", onSubmit)
  document.addEventListener("input", onInput)
  document.addEventListener("keydown", onKey)
  document.addEventListener("mouseover", show)
  document.addEventListener("focusin", show)
  document.addEventListener("focusout", hide)
  document.addEventListener("scroll", hide, true)
  window.addEventListener("popstate", hide)
}

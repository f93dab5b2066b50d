// The shell: links, forms, copying and tooltips of the static parts of every page. It keeps no state of its own: a link
// changes the URL and tells Streamlit about it the way the Back button does, so that every view stays its URL.
const PAGES = new Set(["", "feature", "model", "release", "set", "source", "glossary"])

function go(url) {
  history.pushState({}, "", url)
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }))
  const main = document.querySelector('[data-testid="stMain"]')
  if (main) main.scrollTo({ top: 0 })
}

// Elements of open shadow roots are on the composed path, so one listener serves components too.
const find = (event, test) => event.composedPath().find(node => node instanceof Element && test(node))

async function copy(text, button) {
  let done = true
  try { await navigator.clipboard.writeText(text) }
  catch {  // no clipboard without https, save on this machine: the old way still works
    const area = Object.assign(document.createElement("textarea"), { value: text })
    document.body.append(area); area.select()
    done = document.execCommand("copy"); area.remove()
  }
  const before = button.dataset.label ?? (button.dataset.label = button.textContent)
  button.textContent = done ? "Copied ✓" : "Press Ctrl+C"
  clearTimeout(button._back); button._back = setTimeout(() => { button.textContent = before }, 1600)
}

function onClick(event) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const copier = find(event, n => n.dataset && "copy" in n.dataset)
  if (copier) {
    const text = copier.dataset.copy || location.href
    copy(text.startsWith("/") ? location.origin + text : text, copier)  // a path of this server works anywhere as a whole address
    return
  }
  const filler = find(event, n => n.dataset && "fill" in n.dataset)
  if (filler) {
    const field = document.querySelector(filler.dataset.target)
    if (field) { field.value = filler.dataset.fill; field.focus() }
    return
  }
  const link = find(event, n => n.tagName === "A" && n.href)
  if (!link || link.target || link.hasAttribute("download")) return
  const url = new URL(link.href, location.href)
  if (url.origin !== location.origin || !PAGES.has(url.pathname.slice(1))) return
  if (url.hash && url.pathname === location.pathname && url.search === location.search) return
  event.preventDefault()
  go(url.pathname + url.search)
}

function onSubmit(event) {
  const form = find(event, n => n.tagName === "FORM" && n.dataset.go)
  if (!form) return
  event.preventDefault()
  const query = new URLSearchParams()
  for (const field of form.querySelectorAll("[data-name]"))
    if (field.value.trim()) query.append(field.dataset.name, field.value.trim())
  go(form.dataset.go + (String(query) ? "?" + query : ""))
}

function onKey(event) {
  const typing = event.composedPath()[0]
  const busy = typing instanceof Element && (/^(INPUT|TEXTAREA|SELECT)$/.test(typing.tagName) || typing.isContentEditable)
  if (event.key === "Escape") hide()
  if (event.key === "/" && !busy && !event.ctrlKey && !event.metaKey) {
    const jump = document.querySelector('[data-name="jump"]')
    if (jump) { event.preventDefault(); jump.focus(); jump.select() }
  }
  if (event.key === "Enter" && event.target?.tagName === "TEXTAREA" && !event.shiftKey) {
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

export default function () {
  if (window.__featurescopeShell) return
  window.__featurescopeShell = true
  window.featurescopeTips = { show, hide }  // moves inside one shadow root are not heard out here: components pass them on
  document.addEventListener("click", onClick)
  document.addEventListener("submit", onSubmit)
  document.addEventListener("keydown", onKey)
  document.addEventListener("mouseover", show)
  document.addEventListener("focusin", show)
  document.addEventListener("focusout", hide)
  document.addEventListener("scroll", hide, true)
  window.addEventListener("popstate", hide)
}

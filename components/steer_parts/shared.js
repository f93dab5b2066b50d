// What the three parts of the steering page share. They speak by events of the window: the prompt asks for a run, the
// setup puts what is set into the address, and the texts follow the address.
const STEER = "featurescope:steer"
const say = (name, detail) => window.dispatchEvent(new CustomEvent(STEER + name, { detail }))

// Listens once a root, for as long as it is on the page.
function listen(root, name, act) {
  const heard = event => root.isConnected ? act(event.detail) : window.removeEventListener(STEER + name, heard)
  window.addEventListener(STEER + name, heard)
}

// The same for keys, wherever on the page they are pressed; `busy`: in a field that they belong to.
function onKey(root, act) {
  const heard = event => {
    if (!root.isConnected) return document.removeEventListener("keydown", heard)
    const at = event.composedPath()[0]
    act(event, at instanceof Element && (/^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName) || at.isContentEditable))
  }
  document.addEventListener("keydown", heard)
}

// Questions to the server, one at a time: two at once would come as one.
function asker(box) {
  let last = Promise.resolve(), n = 0
  const waiting = new Map()
  box.heard = answer => {
    if (!answer || !waiting.has(answer.n)) return
    waiting.get(answer.n)(answer)
    waiting.delete(answer.n)
  }
  const began = Date.now()  // a number that no earlier visit of this page had
  return (what, more = {}) => last = last.then(() => new Promise(done => {
    const mark = `${began}-${++n}`
    waiting.set(mark, done)
    box.fire("call", { n: mark, what, ...more })
  }))
}

function pill(text, on, act, about) {
  const button = el("button", "pill", text, { type: "button", "aria-pressed": on, ...(about ? { "data-tip": about } : {}) })
  button.onclick = act
  return button
}

function segment(label, about, options, chosen, act) {
  const row = el("div", "line"), name = term(label, about), pills = el("span", "seg", undefined, { role: "group", "aria-label": label })
  for (const [value, text, tip] of options) pills.append(pill(text, value === chosen, () => act(value), tip))
  row.append(name, pills)
  return row
}

const term = (text, about) => el("span", about ? "term" : "name", text, about ? { "data-tip": about, tabindex: "0" } : {})

function note(text) { return el("div", "said", text, { role: "alert" }) }

function quiet(text, about, act, cls = "") {
  const button = el("button", "quiet " + cls, text, { type: "button", "data-tip": about, "aria-label": about })
  button.onclick = act
  return button
}

// A link of the app, followed the way a click on it is: the address changes and the page is drawn again.
function follow(root, href) {
  const link = el("a", "", undefined, { href, hidden: "", "data-stay": "" })
  root.append(link)
  link.click()
  link.remove()
}

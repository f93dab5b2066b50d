// The map on its page: keeps its view in the address, and tells the server what is looked at and what is to be kept.
const asked = () => {
  const query = new URLSearchParams(location.search), [x, y, zoom] = (query.get("view") ?? "").split(",").map(Number)
  return { view: zoom > 0 ? { x, y, zoom } : null, colour: query.get("colour") ?? "", q: query.get("q") ?? "", at: query.get("at") ?? "" }
}

// A step that one may go back over is an entry of its own; moving about is not.
function say(change, step) {
  const url = new URL(location.href)
  if (url.pathname !== "/map") return
  for (const [name, value] of Object.entries(change)) value ? url.searchParams.set(name, value) : url.searchParams.delete(name)
  if (url.href !== location.href) step ? history.pushState(history.state, "", url) : history.replaceState(history.state, "", url)
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root")
  root._fire = setTriggerValue
  if (root._points === data.points) return () => {}
  root._map?.end()
  root._points = data.points
  root._map = null
  if (!root._tips) {  // tooltips are the shell's; it does not hear what moves inside of a shadow root
    root._tips = true
    for (const name of ["mouseover", "focusin"]) root.addEventListener(name, event => window.featurescopeTips?.show(event))
    for (const name of ["mouseleave", "focusout"]) root.addEventListener(name, () => window.featurescopeTips?.hide())
  }
  const get = async address => {
    const answer = await fetch(address)
    if (!answer.ok) throw new Error(String(answer.status))
    return answer.arrayBuffer()
  }
  get(data.points).then(buffer => {
    if (root._points !== data.points || !root.isConnected) return
    root._map = openMap(root, {
      buffer, texts: () => get(data.texts), ...asked(),
      onView: ({ x, y, zoom }) => say({ view: zoom === 1 && !x && !y ? "" : `${x},${y},${zoom}` }),
      onChange: ({ colour, q }) => say({ colour, q }, true),
      onPick: key => { say({ at: key }, true); root._fire("pick", { key, n: Date.now() }) },
      onList: data.lists ? (features, name) => root._fire("keep", { features, name, n: Date.now() }) : null,
    })
  }).catch(() => { root.textContent = "The map could not be had from the server. Reload the page." })
  const back = () => {
    if (!root.isConnected) { removeEventListener("popstate", back); return }
    if (location.pathname === "/map") root._map?.follow(asked())
  }
  if (!root._back) { root._back = true; addEventListener("popstate", back) }
  return () => setTimeout(() => { if (!root.isConnected) { root._map?.end(); root._map = null; root._points = null } })
}

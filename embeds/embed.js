() => {
  // What stands in data-tip is shown by mouse, touch and keyboard, inside the frame.
  const tip = Object.assign(document.createElement("div"), { id: "em-tip", hidden: true })
  tip.setAttribute("role", "tooltip")
  document.body.append(tip)
  const hide = () => { tip.hidden = true }
  const show = event => {
    const node = event.target.closest?.("[data-tip]")
    if (!node) return hide()
    tip.textContent = node.dataset.tip
    tip.style.left = tip.style.top = "0"
    tip.hidden = false
    const at = node.getClientRects()[0], own = tip.getBoundingClientRect()
    tip.style.left = Math.max(4, Math.min(at.left, innerWidth - own.width - 4)) + "px"
    tip.style.top = Math.max(4, at.bottom + own.height + 8 < innerHeight ? at.bottom + 5 : at.top - own.height - 5) + "px"
  }
  for (const name of ["mouseover", "focusin", "click"]) document.addEventListener(name, show)
  document.addEventListener("scroll", hide, true)
  document.addEventListener("keydown", event => { if (event.key === "Escape") hide() })
  // The description of the endpoints: Gradio takes the address for it being open and draws nothing. Its button closes it and opens it.
  const button = document.querySelector("footer .show-api")
  if (button && new URLSearchParams(location.search).get("view") === "api") { button.click(); setTimeout(() => button.click(), 100) }

  // Steering: what the slider says in units of each feature's maximum, while it moves.
  const short = x => String(+x.toPrecision(3)).replace("-", "−")
  const tell = at => {
    const value = at ? parseFloat(at.value) : NaN
    if (Number.isNaN(value)) return
    const several = Boolean(document.querySelector(".em-strengths.several"))
    for (const node of document.querySelectorAll(".em-strengths [data-strength]")) {
      const strength = several ? node.dataset.strength * value : value, maximum = +node.dataset.maximum
      const parts = several ? [short(strength)] : []
      if (maximum) parts.push(`${short(strength / maximum)} × its maximum`)
      node.textContent = parts.join(" · ")
    }
  }
  document.addEventListener("input", event => tell(event.target.closest?.("#em-strength input")))
  // A number beyond the slider's ends is made one of them when its field is left.
  document.addEventListener("focusout", event => {
    const at = event.target.closest?.("#em-strength input")
    setTimeout(() => tell(at), 60)
  })
  // Escape stops a run, as on the steering page.
  document.addEventListener("keydown", event => {
    if (event.key === "Escape" && document.querySelector(".em-both.working")) document.querySelector("#em-stop")?.click()
  })
}

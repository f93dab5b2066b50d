(() => {
  const stage = document.querySelector(".stage"), box = stage.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + 60
  const send = (name, dx, dy) => stage.dispatchEvent(new PointerEvent(name, { bubbles: true, pointerId: 1, button: 0, pointerType: "mouse", clientX: x + dx, clientY: y + dy }))
  stage.setPointerCapture = () => {}
  send("pointerdown", 0, 0); send("pointermove", 9, 0)
  return n => send("pointermove", 9 + 220 * Math.sin(n / 25), 90 * Math.sin(n / 40))
})()

// Names on a map, drawn by WebGL among its points: as elements of the page they would be a layer of their own, put
// together with the points at every frame. Each name is written once into a sheet and cut out of it.
const NAME_VERTEX = `#version 300 es
in vec2 at; in vec2 off; in vec2 cut; uniform vec2 centre, scale, view; out vec2 from;
void main() { vec2 pixel = floor(((at - centre) * scale * .5 + .5) * view + .5) + off; gl_Position = vec4(pixel / view * 2. - 1., 0, 1); from = cut; }`
const NAME_FRAGMENT = `#version 300 es
precision mediump float; in vec2 from; uniform sampler2D sheet; out vec4 paint;
void main() { paint = texture(sheet, from); }`
const SHEET = [2048, 1024]

function letters(gl, program) {
  const place = name => gl.getUniformLocation(program, name)
  const at = { centre: place("centre"), scale: place("scale"), view: place("view") }
  const array = gl.createVertexArray(), buffer = gl.createBuffer(), texture = gl.createTexture()
  gl.bindVertexArray(array); gl.bindBuffer(gl.ARRAY_BUFFER, buffer)
  for (const [n, name] of ["at", "off", "cut"].entries()) {
    const where = gl.getAttribLocation(program, name)
    gl.enableVertexAttribArray(where); gl.vertexAttribPointer(where, 2, gl.FLOAT, false, 24, 8 * n)
  }
  gl.bindTexture(gl.TEXTURE_2D, texture)
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true)
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, ...SHEET, 0, gl.RGBA, gl.UNSIGNED_BYTE, null)
  for (const [name, value] of [[gl.TEXTURE_MIN_FILTER, gl.NEAREST], [gl.TEXTURE_MAG_FILTER, gl.NEAREST], [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, name, value)
  const pen = Object.assign(document.createElement("canvas"), { width: SHEET[0], height: 80 }).getContext("2d", { willReadFrequently: true })
  let written = new Map(), x = 0, y = 0, tall = 0, many = 0

  function write(one, ratio) {
    const mark = [one.text, one.font, one.ink, one.ground, ratio].join("|")
    if (written.has(mark)) return written.get(mark)
    const w = Math.min(SHEET[0] - 2, Math.ceil(one.w * ratio)), h = Math.ceil(one.h * ratio)
    if (x + w > SHEET[0]) { x = 0; y += tall + 1; tall = 0 }
    if (y + h > SHEET[1]) return null
    pen.setTransform(1, 0, 0, 1, 0, 0); pen.clearRect(0, 0, w, h); pen.scale(ratio, ratio)
    pen.fillStyle = one.ground; pen.beginPath(); pen.roundRect(0, 0, one.w, one.h, 6); pen.fill()
    pen.font = one.font; pen.fillStyle = one.ink; pen.textBaseline = "middle"; pen.textAlign = "center"
    pen.fillText(one.text, one.w / 2, one.h / 2 + .5)
    gl.bindTexture(gl.TEXTURE_2D, texture)
    gl.texSubImage2D(gl.TEXTURE_2D, 0, x, y, gl.RGBA, gl.UNSIGNED_BYTE, pen.getImageData(0, 0, w, h))
    const cut = { x, y, w, h }
    written.set(mark, cut)
    x += w + 1; tall = Math.max(tall, h)
    return cut
  }
  return {
    // names: { text, font, ink, ground, x, y (of the map), w, h (pixels) }
    put(names, ratio) {
      let cuts = names.map(one => write(one, ratio))
      if (cuts.includes(null)) { written = new Map(); x = y = tall = 0; cuts = names.map(one => write(one, ratio)) }  // the sheet is full: begin a new one
      const data = new Float32Array(names.length * 36)
      many = 0
      cuts.forEach((cut, n) => {
        if (!cut) return
        const { x: mx, y: my } = names[n], l = -Math.round(cut.w / 2), b = -Math.round(cut.h / 2)
        for (const [i, j] of [[0, 0], [1, 0], [0, 1], [0, 1], [1, 0], [1, 1]])
          data.set([mx, my, l + i * cut.w, b + j * cut.h, (cut.x + i * cut.w) / SHEET[0], (cut.y + (1 - j) * cut.h) / SHEET[1]], 6 * many++)
      })
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer); gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW)
    },
    draw(centre, scale, view) {
      if (!many) return
      gl.useProgram(program)
      gl.uniform2f(at.centre, ...centre); gl.uniform2f(at.scale, ...scale); gl.uniform2f(at.view, ...view)
      gl.bindVertexArray(array); gl.bindTexture(gl.TEXTURE_2D, texture)
      gl.drawArrays(gl.TRIANGLES, 0, many)
    },
  }
}

// Points of a map by WebGL 2: one draw call a frame, positions as two 16-bit numbers, a colour of four bytes each.
// Knows nothing of features; where the points lie on the screen is a centre and a scale.
const VERTEX = `#version 300 es
in vec2 at; in vec4 colour; uniform vec2 centre, scale; uniform float size; out vec4 shade;
void main() { gl_Position = vec4((at * 2. - 1. - centre) * scale, 0, 1); gl_PointSize = size; shade = colour; }`
const FRAGMENT = `#version 300 es
precision mediump float; in vec4 shade; uniform float edge; out vec4 paint;
void main() { float a = shade.a * (1. - smoothstep(1. - edge, 1., length(gl_PointCoord * 2. - 1.))); paint = vec4(shade.rgb * a, a); }`

function compiled(gl, vertex, fragment) {
  const program = gl.createProgram()
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind)
    gl.shaderSource(shader, source); gl.compileShader(shader); gl.attachShader(program, shader)
  }
  gl.bindAttribLocation(program, 0, "at"); gl.bindAttribLocation(program, 1, "colour")
  gl.linkProgram(program)
  return program
}

function painter(canvas) {
  // a canvas that nothing shines through is cheaper to put on the page
  const gl = canvas.getContext("webgl2", { antialias: false, depth: false, alpha: false })
  if (!gl) return null
  let held
  const begin = () => {
    const program = compiled(gl, VERTEX, FRAGMENT), place = name => gl.getUniformLocation(program, name)
    gl.enable(gl.BLEND); gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA)
    held = { program, centre: place("centre"), scale: place("scale"), size: place("size"), edge: place("edge"), sets: new Map(), names: letters(gl, compiled(gl, NAME_VERTEX, NAME_FRAGMENT)) }
  }
  begin()
  const layer = name => {
    if (!held.sets.has(name)) {
      const array = gl.createVertexArray(), at = gl.createBuffer(), colour = gl.createBuffer()
      gl.bindVertexArray(array)
      gl.bindBuffer(gl.ARRAY_BUFFER, at); gl.enableVertexAttribArray(0); gl.vertexAttribPointer(0, 2, gl.UNSIGNED_SHORT, true, 0, 0)
      gl.bindBuffer(gl.ARRAY_BUFFER, colour); gl.enableVertexAttribArray(1); gl.vertexAttribPointer(1, 4, gl.UNSIGNED_BYTE, true, 0, 0)
      held.sets.set(name, { array, at, colour, count: 0 })
    }
    return held.sets.get(name)
  }
  const fill = (buffer, data) => { gl.bindBuffer(gl.ARRAY_BUFFER, buffer); gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW) }
  return {
    // `xy`: Uint16Array of pairs, `rgba`: Uint8Array of fours; layers are drawn in the order in which they were first put.
    put(name, xy, rgba) {
      const one = layer(name)
      if (xy) { fill(one.at, xy); one.count = xy.length / 2 }
      if (rgba) fill(one.colour, rgba)
    },
    names: (list, ratio) => held.names.put(list, ratio),
    // `ground`: the colour below; `sizes`: of the points of each layer, in pixels of the page.
    draw({ width, height, ratio, x, y, scale, ground, sizes }) {
      const w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio))
      if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h }
      const by = [2 * scale / width, 2 * scale / height]
      gl.viewport(0, 0, w, h)
      gl.clearColor(...ground, 1); gl.clear(gl.COLOR_BUFFER_BIT)
      gl.useProgram(held.program)
      gl.uniform2f(held.centre, x, y); gl.uniform2f(held.scale, ...by)
      for (const [name, one] of held.sets) {
        if (!one.count) continue
        const size = sizes[name] * ratio
        gl.uniform1f(held.size, size); gl.uniform1f(held.edge, Math.min(1, 2 / size))
        gl.bindVertexArray(one.array)
        gl.drawArrays(gl.POINTS, 0, one.count)
      }
      held.names.draw([x, y], by, [w, h])
    },
    restore(again) {  // a lost context comes back empty
      canvas.addEventListener("webglcontextlost", event => event.preventDefault())
      canvas.addEventListener("webglcontextrestored", () => { begin(); again() })
    },
    end() { gl.getExtension("WEBGL_lose_context")?.loseContext() },
  }
}

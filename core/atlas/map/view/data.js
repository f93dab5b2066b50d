// What a map is made of, out of bytes: a header in JSON, then arrays; and what is said of each point, which comes later.
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true)
  const data = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)))
  const kinds = { u8: Uint8Array, i16: Int16Array, u16: Uint16Array, u32: Uint32Array }
  for (const [name, kind, at, count] of data.arrays) data[name] = new kinds[kind](buffer, at, count)
  data.key = point => `${data.sources[data.source[point]].id}/${data.index[point]}`
  data.cluster = (level, point) => data.clusters_of[level * data.n + point]
  return data
}

async function inflate(buffer) {
  const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream("deflate"))
  return new Response(stream).arrayBuffer()
}

// [label, promoted tokens, what is said] of every point.
async function said(buffer) {
  const text = new TextDecoder().decode(await inflate(buffer))
  return text.split("\n").map(line => line.split("\t"))
}

// Points by squares of a grid, so that what is near a place is found at once.
function grid(xy, n) {
  const side = Math.max(1, Math.min(512, Math.round(Math.sqrt(n / 4)))), step = 65536 / side
  const starts = new Uint32Array(side * side + 1), order = new Uint32Array(n)
  const square = i => Math.floor(xy[2 * i + 1] / step) * side + Math.floor(xy[2 * i] / step)
  for (let i = 0; i < n; i++) starts[square(i) + 1]++
  for (let i = 0; i < side * side; i++) starts[i + 1] += starts[i]
  const next = starts.slice()
  for (let i = 0; i < n; i++) order[next[square(i)]++] = i
  return {
    // Every point within a frame, in steps of the map.
    within(x0, y0, x1, y1, act) {
      const cell = v => Math.max(0, Math.min(side - 1, Math.floor(v / step)))
      for (let r = cell(y0); r <= cell(y1); r++)
        for (let at = starts[r * side + cell(x0)]; at < starts[r * side + cell(x1) + 1]; at++) {
          const i = order[at], x = xy[2 * i], y = xy[2 * i + 1]
          if (x >= x0 && x <= x1 && y >= y0 && y <= y1) act(i, x, y)
        }
    },
  }
}

function inside(polygon, x, y) {
  let is = false
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i], [xj, yj] = polygon[j]
    if (yi > y !== yj > y && x < (xj - xi) * (y - yi) / (yj - yi) + xi) is = !is
  }
  return is
}

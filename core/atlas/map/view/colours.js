// What a point's colour says. Each way of colouring gives a number a point into a list of colours, and a legend.
const SETS = {
  light: ["#0b8f6a", "#2d6ebe", "#c9602c", "#8a56b8", "#b58a0f", "#c43f6b", "#2592a5", "#6b7f1e", "#8c5a3c", "#5563c8", "#d0812f", "#3d8a47"],
  dark: ["#3ad1a2", "#78aaeb", "#f09a68", "#c39ae8", "#e0bd55", "#f07f9f", "#5fcbdc", "#b4c85a", "#cf9f7c", "#98a4f5", "#f5b56b", "#7fd089"],
}
const RAMPS = {
  light: ["#cfdcd6", "#8cc7ae", "#3fa585", "#10705a", "#0a3d3a"],
  dark: ["#2d3b3a", "#2a6a5c", "#2fa383", "#6fdcb2", "#e4fff0"],
}
const rgb = hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16))
const STEPS = 32

function ramp(stops, count) {
  return Array.from({ length: count }, (_, n) => {
    const at = count < 2 ? .6 * (stops.length - 1) : n / (count - 1) * (stops.length - 1), low = Math.min(stops.length - 2, Math.floor(at))
    const [a, b] = [rgb(stops[low]), rgb(stops[low + 1])]
    return a.map((v, i) => Math.round(v + (b[i] - v) * (at - low)))
  })
}

// `grey` is the colour of what has no value. Returns { colours, of(point) → number or -1, legend: [[name, colour, number]] or { low, high, colours } }.
function colouring(data, way, theme) {
  const set = SETS[theme].map(rgb)
  const named = (names, of) => ({
    colours: names.map((_, n) => set[n % set.length]), of,
    legend: names.map((name, n) => [name, set[n % set.length], n]),
  })
  if (way === "source") return named(data.sources.map(one => one.short), point => data.source[point])
  if (way === "layer") {
    const layers = [...new Set(data.sources.map(one => one.layer))].sort((a, b) => a - b)
    const at = data.sources.map(one => layers.indexOf(one.layer))
    const many = layers.length > 6
    const made = named(layers.map(layer => `layer ${layer}`), point => at[data.source[point]])
    if (!many) return made
    const colours = ramp(RAMPS[theme], layers.length)
    return { ...made, colours, legend: layers.map((layer, n) => [`layer ${layer}`, colours[n], n]) }
  }
  if (way === "kind" || way === "method") {
    const names = data[way + "s"], each = data[way]
    return named(names, point => each[point] - 1)
  }
  if (way === "cluster") {
    const top = data.clusters.map((one, n) => { let at = n; while (data.clusters[at].parent !== null) at = data.clusters[at].parent; return at })
    const number = new Map([...new Set(top)].map((id, n) => [id, n]))
    const of = point => {
      for (let level = data.levels - 1; level >= 0; level--) {
        const id = data.cluster(level, point)
        if (id >= 0) return number.get(top[id])
      }
      return -1
    }
    return { colours: [...number.values()].map(n => set[n % set.length]), of, of_cluster: id => set[number.get(top[id]) % set.length], legend: null }
  }
  const colours = ramp(RAMPS[theme], STEPS), each = data[way]
  const low = way === "density" ? data.density_low : 0, high = way === "density" ? 0 : 1
  const values = Array.from(each).filter(v => v > 0).sort((a, b) => a - b)
  const from = values[Math.floor(.02 * values.length)] ?? 1, to = Math.max(from + 1, values[Math.floor(.98 * values.length)] ?? 255)
  const real = v => low + (v - 1) / 254 * (high - low)
  return {
    colours, of: point => each[point] ? Math.max(0, Math.min(STEPS - 1, Math.round((each[point] - from) / (to - from) * (STEPS - 1)))) : -1,
    legend: { low: real(from), high: real(to), colours, log: way === "density" },
  }
}

async ([seconds, move]) => {
  const step = eval(move)
  let frames = 0
  const begin = performance.now()
  let worst = 0, before = begin
  await new Promise(done => {
    const next = now => {
      worst = Math.max(worst, now - before); before = now
      if (now - begin > seconds * 1000) return done()
      step(frames++)
      requestAnimationFrame(next)
    }
    requestAnimationFrame(next)
  })
  return frames / ((performance.now() - begin) / 1000)
}

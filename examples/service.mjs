// A service that turns prompts into embeddings: node service.mjs MODEL [PLAN]
//   POST /embeddings  body: the prompt     -> float32 [tokens, width], the shape in the header x-shape
//   GET  /delay                            -> {"maxMs": ...}, the longest the event loop has been late
import { createServer } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { text } from 'node:stream/consumers'
import { InputError, Encoder } from 'skrr'

const [model, plan] = process.argv.slice(2)
const encoder = await Encoder.load(model, { plan })
const delay = monitorEventLoopDelay({ resolution: 1 })

const server = createServer(async (request, response) => {
  if (request.url === '/delay') return response.end(JSON.stringify({ maxMs: delay.max / 1e6 }))
  const gone = new AbortController()
  response.on('close', () => gone.abort()) // a client that hangs up costs nothing more
  try {
    const { embeddings, shape } = await encoder.encode(await text(request), { signal: gone.signal })
    response.setHeader('x-shape', shape.slice(1).join()).end(new Uint8Array(embeddings.buffer))
  } catch (error) {
    response.writeHead(error instanceof InputError ? 400 : 500).end(error.message)
  }
})
server.listen(process.env.PORT ?? 8080, () => {
  delay.enable()
  console.log(`listening on ${server.address().port}`)
})

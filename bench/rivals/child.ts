/** A process to be measured, which answers one question at a time in lines of JSON: a rival's (serve.mjs), or a build of skrr. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'

type Answers = AsyncIterator<string, undefined>

export class Child {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>
  readonly #answers: Answers

  private constructor(
    readonly name: string,
    [command, ...args]: readonly [string, ...string[]],
  ) {
    this.#process = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface(this.#process.stdout)[Symbol.asyncIterator]() as Answers
  }

  /** Starts it and waits until its weights are loaded. @returns it, and its software's version */
  static async start(
    name: string,
    command: readonly [string, ...string[]],
  ): Promise<{ child: Child; version: string }> {
    const child = new Child(name, command)
    const { version } = (await child.#answer()) as { version: string }
    return { child, version }
  }

  /** One forward, in milliseconds by its own clock. */
  async run(): Promise<number> {
    return (await this.ask<{ ms: number }>({ ask: 'run' })).ms
  }

  /** Writes its embeddings to `file`: float32 [batch, tokens, width]. */
  async output(file: string): Promise<void> {
    await this.ask({ ask: 'output', file })
  }

  /** Resident bytes now. */
  async held(): Promise<number> {
    return (await this.ask<{ bytes: number }>({ ask: 'held' })).bytes
  }

  /** Peak resident bytes since it started. */
  async peak(): Promise<number> {
    return (await this.ask<{ bytes: number }>({ ask: 'peak' })).bytes
  }

  /** The answer to any question; its form is the process's own. */
  async ask<Answer>(question: object): Promise<Answer> {
    this.#process.stdin.write(`${JSON.stringify(question)}\n`)
    return (await this.#answer()) as Answer
  }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null) return
    const closed = new Promise((done) => this.#process.once('close', done))
    this.#process.stdin.end()
    await closed
  }

  async #answer(): Promise<unknown> {
    const line = await this.#answers.next()
    if (line.done === true) throw new Error(`${this.name}: ended without an answer`)
    return JSON.parse(line.value)
  }
}

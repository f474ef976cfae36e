import type { NativeStates } from '../../native/addon.js'
import type { Program } from './program.js'

/** A place in the tree of program beginnings; the root is before the first step. */
interface Node {
  readonly parent: Node | undefined
  readonly name: string
  readonly depth: number
  readonly children: Map<string, Node>
  /** How many of the programs asked for last begin with it. */
  uses: number
  /** [chunks] what is held of it. */
  readonly states: (NativeStates | undefined)[]
}

/**
 * States at the boundaries of programs, as a tree over their common beginnings. Holds at most `budget` bytes, the roots (the
 * embedded calibration set) not counted; over it, what is cheapest to compute again goes first. Dropping is exact: what is missing
 * is computed again from the nearest state before it.
 */
export class StateCache {
  readonly #root: Node
  #bytes = 0
  #peak = 0

  constructor(
    roots: readonly NativeStates[],
    private readonly budget: number,
  ) {
    this.#root = { parent: undefined, name: '', depth: 0, children: new Map(), uses: 0, states: [...roots] }
  }

  /** Bytes of the states held now, roots not counted, and the most there ever were. */
  get bytes(): { now: number; peak: number } {
    return { now: this.#bytes, peak: this.#peak }
  }

  /** The furthest state of the program's beginning that is held, after `depth` steps. It stays the cache's. */
  nearest(program: Program, chunk: number): { states: NativeStates; depth: number } {
    let node: Node | undefined = this.#root
    let best = node
    for (const { name } of program.steps) {
      node = node.children.get(name)
      if (node === undefined) break
      if (node.states[chunk] !== undefined) best = node
    }
    return { states: best.states[chunk]!, depth: best.depth }
  }

  /** Takes the states after `depth` steps over. False where there is no room: they stay the caller's. */
  keep(program: Program, depth: number, chunk: number, states: NativeStates): boolean {
    if (this.#bytes + states.bytes > this.budget) this.#shrink(this.budget * 0.8 - states.bytes)
    if (this.#bytes + states.bytes > this.budget) return false
    let node = this.#root
    for (const { name } of program.steps.slice(0, depth)) node = childOf(node, name)
    node.states[chunk]?.dispose()
    node.states[chunk] = states
    this.#bytes += states.bytes
    this.#peak = Math.max(this.#peak, this.#bytes)
    return true
  }

  /** Drops all that is no beginning of one of these programs, the ones to be measured next. */
  retain(programs: readonly Program[]): void {
    for (const node of this.#nodes()) node.uses = 0
    for (const { steps } of programs) {
      let node = this.#root
      for (const { name } of steps) {
        node = childOf(node, name)
        node.uses++
      }
    }
    for (const node of this.#nodes()) {
      if (node.uses > 0) continue
      for (const chunk of node.states.keys()) this.#drop(node, chunk)
      node.parent!.children.delete(node.name)
    }
  }

  dispose(): void {
    this.retain([])
    for (const states of this.#root.states) states?.dispose()
    this.#root.states.length = 0
  }

  /** Steps to compute a state again, as often as it will be started from. */
  #cost(node: Node, chunk: number): number {
    let ancestor = node.parent!
    while (ancestor.states[chunk] === undefined) ancestor = ancestor.parent!
    return (node.depth - ancestor.depth) * Math.max(1, node.uses)
  }

  // Rounds of rising cost; the cost is taken anew for each state, since dropping one makes the next dearer. So of a run of
  // neighbouring states every second goes first, then every second of those.
  #shrink(target: number): void {
    const held = this.#nodes().flatMap((node) => [...node.states.keys()].map((chunk) => ({ node, chunk })))
    for (let limit = 1; this.#bytes > target; limit *= 2) {
      let left = false
      for (const { node, chunk } of held) {
        if (node.states[chunk] === undefined) continue
        left = true
        if (this.#cost(node, chunk) > limit) continue
        this.#drop(node, chunk)
        if (this.#bytes <= target) return
      }
      if (!left) return
    }
  }

  #drop(node: Node, chunk: number): void {
    const states = node.states[chunk]
    if (states === undefined) return
    this.#bytes -= states.bytes
    states.dispose()
    node.states[chunk] = undefined
  }

  /** All but the root, a parent before its children. */
  #nodes(): Node[] {
    const nodes: Node[] = []
    const visit = (node: Node): void => {
      for (const child of node.children.values()) {
        nodes.push(child)
        visit(child)
      }
    }
    visit(this.#root)
    return nodes
  }
}

function childOf(node: Node, name: string): Node {
  let child = node.children.get(name)
  if (child === undefined) {
    child = { parent: node, name, depth: node.depth + 1, children: new Map(), uses: 0, states: [] }
    node.children.set(name, child)
  }
  return child
}

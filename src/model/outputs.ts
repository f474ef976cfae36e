import { InputError } from '../errors.js'
import type { Architecture, Pooling } from './architecture.js'
import { blocksOf } from './parameters.js'

/** A state of the residual stream, named by what it is: "hidden_states[-1]" means two things in two releases of transformers. */
export interface State {
  /** Blocks that have run. 0: the embeddings as they enter block 0. */
  readonly after: number | 'last'
  /** Whether the final norm is applied. Default: false. */
  readonly norm?: boolean | undefined
}

/** What an encoder gives. Blocks after the last one that is needed are not loaded: a truncation that changes nothing. */
export interface Outputs {
  /** Default: the last state, normed. */
  readonly states?: readonly State[] | undefined
  /**
   * Puts the states side by side in each row: `states`, one after the other (state t has columns t x width on), or `channels`, channel
   * by channel (column c x states + t). Default: each state apart.
   */
  readonly join?: 'states' | 'channels' | undefined
  /** One row of each prompt of the normed last state, through the encoder's projection where it has one. Default: none. */
  readonly pooled?: boolean | Pooled | undefined
}

export interface Pooled {
  /** Default: the architecture's. */
  readonly row?: Pooling | undefined
  /** Default: where the encoder has a projection. */
  readonly project?: boolean | undefined
}

/** Outputs with every default filled in. */
export interface ResolvedOutputs {
  readonly states: readonly { readonly after: number; readonly norm: boolean }[]
  readonly join: 'states' | 'channels' | undefined
  readonly pooled: { readonly row: Pooling; readonly project: boolean } | undefined
  /** Blocks that must run. */
  readonly depth: number
}

/** @throws InputError for a state or a row that the encoder does not have */
export function resolveOutputs({ states, join, pooled }: Outputs, a: Architecture): ResolvedOutputs {
  const blocks = blocksOf(a)
  const resolved = (states ?? [{ after: 'last', norm: true }]).map(({ after, norm = false }, i) => {
    const k = after === 'last' ? blocks : after
    if (k <= blocks) return { after: k, norm }
    const expected = `0 to ${blocks}, the encoder's blocks, or 'last'`
    throw new InputError({ field: `outputs.states[${i}].after`, found: String(k), expected })
  })
  if (resolved.length === 0) {
    throw new InputError({ field: 'outputs.states', found: 'none', expected: 'at least one' })
  }
  const asked = pooled === false ? undefined : resolvePooled(pooled === true ? {} : pooled, a)
  const depth = asked ? blocks : Math.max(...resolved.map(({ after }) => after))
  return { states: resolved, join, pooled: asked, depth }
}

function resolvePooled(pooled: Pooled | undefined, { output }: Architecture): ResolvedOutputs['pooled'] {
  if (pooled === undefined) return undefined
  const row = pooled.row ?? output.pooled
  if (row === undefined) {
    const expected = "{ row }, since the encoder's architecture says none"
    throw new InputError({ field: 'outputs.pooled', found: 'no row', expected })
  }
  const project = pooled.project ?? output.projection !== undefined
  if (!project || output.projection !== undefined) return { row, project }
  const found = 'true, of an encoder without projection'
  throw new InputError({ field: 'outputs.pooled.project', found, expected: 'false' })
}

/** @throws InputError where a result needs blocks that were not loaded */
export function checkDepth(wanted: ResolvedOutputs, loaded: number): void {
  if (wanted.depth <= loaded) return
  throw new InputError({
    field: 'outputs',
    found: `a state after ${wanted.depth} blocks`,
    expected: `at most ${loaded}, those that the outputs given to load() need`,
  })
}

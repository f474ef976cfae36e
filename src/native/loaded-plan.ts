import type { Plan } from '../plan/plan.js'
import type { NativeLoadedPlan } from './addon.js'

/** A plan whose weights and compensation are on the device, and stay there until it is disposed. */
export class LoadedPlan {
  constructor(
    /** The plan as given: where it names no precision, it runs in the encoder's own. */
    readonly plan: Plan,
    readonly native: NativeLoadedPlan,
  ) {}

  /** Bytes of its compensation; other plans may hold its weights too. */
  get bytes(): number {
    return this.native.bytes
  }

  /** Calls that run under it still end normally. The engine's next trim() frees its weights, unless another plan holds them. */
  dispose(): void {
    this.native.dispose()
  }
}

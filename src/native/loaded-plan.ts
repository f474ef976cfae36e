import type { Plan } from '../plan/plan.js'
import type { NativeLoadedPlan } from './addon.js'

/** A plan whose weights and compensation are on the device, and stay there until it is disposed. */
export class LoadedPlan {
  constructor(
    /** As it was given: where it names no precision, it runs in the encoder's own. */
    readonly plan: Plan,
    readonly native: NativeLoadedPlan,
  ) {}

  /** Of its compensation; its weights may be other plans' too. */
  get bytes(): number {
    return this.native.bytes
  }

  /** Calls that run under it end as they would. Its weights are freed by the engine's next trim(), unless another plan holds them. */
  dispose(): void {
    this.native.dispose()
  }
}

import { runJob, type NativeCompensation, type NativeEncoder } from '../../native/addon.js'
import type { Compensation } from '../../plan/compensation.js'
import type { Plan } from '../../plan/plan.js'

/** Compensations of plans under measurement, each loaded once. */
export class LoadedCompensations {
  readonly #loaded = new Map<Compensation, NativeCompensation>()

  constructor(
    private readonly engine: NativeEncoder,
    private readonly signal: AbortSignal | undefined,
  ) {}

  async of({ compensation }: Plan): Promise<NativeCompensation | undefined> {
    if (compensation === undefined) return undefined
    const { rank, down, up } = compensation
    const loaded =
      this.#loaded.get(compensation) ??
      (await runJob([this.signal], () => this.engine.loadCompensation(rank, down, up)))
    this.#loaded.set(compensation, loaded)
    return loaded
  }

  dispose(): void {
    for (const compensation of this.#loaded.values()) compensation.dispose()
  }
}

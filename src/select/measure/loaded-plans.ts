import type { Engine } from '../../native/engine.js'
import type { LoadedPlan } from '../../native/loaded-plan.js'
import type { Plan } from '../../plan/plan.js'

/** Plans under measurement, each loaded once. */
export class LoadedPlans {
  readonly #loaded = new Map<Plan, LoadedPlan>()

  constructor(
    private readonly engine: Engine,
    private readonly signal: AbortSignal | undefined,
  ) {}

  async of(plan: Plan): Promise<LoadedPlan> {
    const loaded = this.#loaded.get(plan) ?? (await this.engine.loadPlan(plan, [this.signal]))
    this.#loaded.set(plan, loaded)
    return loaded
  }

  /** Disposes all but these. */
  retain(plans: readonly Plan[]): void {
    const kept = new Set(plans)
    for (const [plan, loaded] of this.#loaded) {
      if (kept.has(plan)) continue
      loaded.dispose()
      this.#loaded.delete(plan)
    }
  }

  dispose(): void {
    this.retain([])
  }
}

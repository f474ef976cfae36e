import { blocksOf } from '../../model/parameters.js'
import { runJob, type NativeRegression } from '../../native/addon.js'
import { Plan } from '../../plan/plan.js'
import type { Evaluator } from '../measure/evaluator.js'

/** The least squares of a plan's compensation: tokens go in, maps come out. */
export class MapFit {
  private constructor(
    private readonly evaluator: Evaluator,
    private readonly plan: Plan,
    private readonly regression: NativeRegression,
  ) {}

  static async create(evaluator: Evaluator, plan: Plan): Promise<MapFit> {
    const regression = await runJob([evaluator.signal], () => evaluator.engine.native.newRegression())
    return new MapFit(evaluator, plan, regression)
  }

  /** Adds a chunk's tokens: what the plan makes of them, and what the dense encoder does. */
  async add(chunk: number, weight: number): Promise<void> {
    const { engine, architecture, signal } = this.evaluator
    const planned = await this.evaluator.output(this.plan, chunk)
    try {
      const dense = await this.evaluator.output(Plan.dense(blocksOf(architecture)), chunk)
      await runJob([signal], (cancel) =>
        engine.native.addTo(this.regression, planned, dense, weight, cancel),
      ).finally(() => dense.dispose())
    } finally {
      planned.dispose()
    }
  }

  /**
   * The plan with the best map of this rank. Errors are weighed as the projection's first layer sees them: what follows is not
   * linear.
   * @param ridge in mean squares of a channel
   */
  async solve(rank: number, ridge: number): Promise<Plan> {
    const { engine, architecture, signal, projection } = this.evaluator
    const [down, up] = [
      new Float32Array(rank * architecture.width),
      new Float32Array(rank * architecture.width),
    ]
    const metric = projection?.[0]?.weight
    await runJob([signal], (cancel) =>
      engine.native.fit(this.regression, ridge, metric, down, up, rank, cancel),
    )
    return this.plan.with({ compensation: { rank, down, up } })
  }

  dispose(): void {
    this.regression.dispose()
  }
}

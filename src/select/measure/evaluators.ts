import { Evaluator, type EvaluatorOptions, type Metric, type Work } from './evaluator.js'
import type { Memo } from './memo.js'

export interface EvaluatorsOptions extends Omit<EvaluatorOptions, 'memo' | 'naive'> {
  /** Where what is measured under a name is noted. */
  readonly memo: (name: string) => Memo | undefined
}

/** What a search measures with: D, and the encoder's own output for methods that look at that. */
export class Evaluators {
  readonly #made: Evaluator[]

  private constructor(
    private readonly options: EvaluatorsOptions,
    /** Of D. */
    readonly judge: Evaluator,
  ) {
    this.#made = [judge]
  }

  static async create(options: EvaluatorsOptions): Promise<Evaluators> {
    return new Evaluators(options, await Evaluator.create({ ...options, memo: options.memo('D') }))
  }

  /** Of the encoder's output on the prompts alone. */
  async output(metric: Metric): Promise<Evaluator> {
    const { options } = this
    const chunks = options.chunks.filter(({ isNull }) => !isNull)
    const own = { chunks, metric, projection: undefined, memo: options.memo('output') }
    const evaluator = await Evaluator.create({ ...options, ...own })
    this.#made.push(evaluator)
    return evaluator
  }

  get work(): Work {
    const works = this.#made.map(({ work }) => work)
    return {
      executed: works.reduce((sum, { executed }) => sum + executed, 0),
      naive: works.reduce((sum, { naive }) => sum + naive, 0),
    }
  }

  dispose(): void {
    for (const evaluator of this.#made) evaluator.dispose()
  }
}

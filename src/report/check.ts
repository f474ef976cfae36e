import { z } from 'zod'
import { checkArgument, instance, number, oneOf, text } from '../io/arguments.js'
import { checkArchitecture } from '../model/check-architecture.js'
import { PRECISIONS } from '../model/precision.js'
import { Plan } from '../plan/plan.js'
import type { Selection } from '../select/index.js'
import type { ReportContext } from './context.js'

const object = <T extends z.ZodRawShape>(shape: T) => z.looseObject(shape, { error: 'an object' })
const D = object({ total: number, calibration: number, null: number })
const work = object({ executed: number, naive: number })

const numbers = z.array(number, { error: 'an array of numbers' })
const rows = (): z.ZodType<number[][]> => z.array(numbers, { error: 'rows of numbers' })
const list = <T extends z.ZodType>(of: T) => z.array(of, { error: 'an array' }).optional()
const run = object({
  trace: z.array(object({ i: number, choice: text, D_current: number }), { error: 'an array' }),
}).optional()
/** What of a trace the page reads. */
const trace = object({
  method: text,
  metric: text,
  start: oneOf('skip', 'joint').optional(),
  steps: list(
    object({
      expansions: z.array(object({ skips: numbers, D: number.nullable() }), { error: 'an array' }),
      kept: numbers,
    }),
  ),
  result: object({ skips: numbers }).optional(),
  reuse: object({ pruning: run, ascending: run }).optional(),
  joint: list(object({ skips: numbers, D: number, plan: numbers })),
  refine: list(object({ move: text, plan: numbers, D: number })),
})

const selections = z.array(
  object({
    plan: instance(Plan, 'a Plan'),
    D,
    relative: object({ calibration: number, null: number }),
    nullNorm: number,
    work,
    cachePeak: number,
    trace,
  }),
  { error: 'an array of selections' },
)

const context = z.strictObject(
  {
    architecture: z.unknown(),
    precision: oneOf(...PRECISIONS),
    model: text,
    plan: text,
    similarity: object({
      hidden: rows(),
      attention: rows(),
      feedForward: rows(),
      tokens: number,
      ofTokens: number,
      executed: number,
    }).optional(),
  },
  { error: 'an object' },
)

/** @throws InputError for what selectPlan and measureSimilarity do not give */
export function checkReport(given: unknown, about: unknown): asserts given is readonly Selection[] {
  checkArgument<unknown>(selections, given, 'selections')
  checkArgument<unknown>(context, about, 'context')
  checkArchitecture((about as ReportContext).architecture)
}

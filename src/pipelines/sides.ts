import { InputError } from '../errors.js'
import type { Arguments, PipelineData } from './types.js'

/** The prompts of one side of a call: the positive one, or the negative one. */
export interface Side {
  readonly args: Arguments
  readonly negative: boolean
  /** A slot's prompts, by the names of the arguments that have them. */
  prompts(names: readonly string[]): readonly string[]
}

/** What a call encodes: its prompts, and, where the pipeline does so, negative ones. @throws InputError for prompts that do not fit */
export function sidesOf(
  data: PipelineData,
  args: Arguments,
  index: Readonly<Record<string, unknown>>,
): Side[] {
  const prompts = textsOf(args, 'prompt')
  if (prompts === undefined) {
    throw new InputError({ field: 'prompt', found: 'none', expected: 'a text or a list of texts' })
  }
  if (prompts.length === 0) {
    throw new InputError({ field: 'prompt', found: 'an empty list', expected: 'at least one' })
  }
  const count = prompts.length
  const positive: Side = {
    args,
    negative: false,
    prompts: (names) => firstGiven(args, names, '', count) ?? prompts,
  }
  if (!encodesNegative(data, args, index)) return [positive]
  const { text = '', emptyIsText = false } = data.negative
  const standard = Array<string>(count).fill(text)
  const negative: Side = {
    args,
    negative: true,
    prompts(names) {
      const given = firstGiven(args, names, 'negative_', count) ?? standard
      return emptyIsText ? given.map((prompt) => (prompt === '' ? text : prompt)) : given
    },
  }
  return [positive, negative]
}

/** Whether zeros stand for the negative side. */
export const zerosForNegative = (
  { negative }: PipelineData,
  args: Arguments,
  index: Readonly<Record<string, unknown>>,
): boolean =>
  negative.when === 'zeros' &&
  textsOf(args, 'negative_prompt') === undefined &&
  (negative.zerosIf === undefined || index[negative.zerosIf] !== false)

function encodesNegative(
  data: PipelineData,
  args: Arguments,
  index: Readonly<Record<string, unknown>>,
): boolean {
  const { when } = data.negative
  if (when === 'never' || args.do_classifier_free_guidance === false) return false
  if (when === 'given') return textsOf(args, 'negative_prompt') !== undefined
  return !zerosForNegative(data, args, index)
}

/** The prompts of the first argument that is given and not empty, one for each prompt of the call. */
function firstGiven(
  args: Arguments,
  names: readonly string[],
  side: '' | 'negative_',
  count: number,
): readonly string[] | undefined {
  const name = names.find((each) => textsOf(args, side + each)?.some((text) => text !== ''))
  const texts = textsOf(args, side + (name ?? names.at(-1)!))
  if (texts === undefined || texts.length === count) return texts
  if (texts.length === 1) return Array<string>(count).fill(texts[0]!)
  throw new InputError({
    field: side + (name ?? names.at(-1)!),
    found: `${texts.length} texts`,
    expected: `1 or ${count}, as there are prompts`,
  })
}

function textsOf(args: Arguments, name: string): readonly string[] | undefined {
  const given = args[name]
  if (given === undefined || given === null) return undefined
  if (typeof given === 'string') return [given]
  if (Array.isArray(given) && given.every((text) => typeof text === 'string')) return given
  throw new InputError({ field: name, found: typeof given, expected: 'a text or a list of texts' })
}

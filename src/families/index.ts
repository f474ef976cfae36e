import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { check, show } from '../io/check.js'
import type { Architecture } from '../model/architecture.js'
import type { Family, TensorSpec } from './family.js'
import { t5 } from './t5.js'

export type { Family, TensorSpec } from './family.js'

export const FAMILIES: readonly Family[] = [t5]

export const MODEL_TYPES = FAMILIES.flatMap(({ modelTypes }) => modelTypes)

/** For messages: what counts as an encoder here. */
export const AN_ENCODER = FAMILIES.map(({ title }) => `a ${title}`).join(' or ')
export const ONE_ENCODER = `one ${FAMILIES.map(({ title }) => title).join(' or ')}`

/** What other model types are, for messages about a wrong folder. */
const OTHER_TYPES: Readonly<Record<string, string>> = {
  clip: 'a CLIP model',
  clip_text_model: 'a CLIP text encoder',
  bert: 'a BERT encoder',
  roberta: 'a RoBERTa encoder',
  'xlm-roberta': 'an XLM-RoBERTa encoder',
  llama: 'a Llama language model',
  gemma: 'a Gemma language model',
  gemma2: 'a Gemma 2 language model',
  qwen2: 'a Qwen 2 language model',
  qwen2_5_vl: 'a Qwen 2.5 VL language model',
  chatglm: 'a ChatGLM language model',
  longt5: 'a LongT5 encoder, whose attention is another',
}

export function familyOf({ family: label }: Architecture): Family {
  const family = FAMILIES.find(({ labels }) => labels.includes(label))
  if (family !== undefined) return family
  const expected = `one of ${FAMILIES.flatMap(({ labels }) => labels).join(', ')}`
  throw new CheckpointError({ field: 'architecture.family', found: show(label), expected })
}

/** The architecture a config.json describes. `file` is named in errors. Throws CheckpointError. */
export function architectureFromConfig(file: string, json: unknown): Architecture {
  const { model_type: declared, architectures } = check(configSchema, json, file)
  const [className = ''] = architectures ?? []
  const [ofClass] = FAMILIES.flatMap((family) => family.typeOfClass(className) ?? [])
  const type = declared ?? ofClass
  const family = FAMILIES.find(({ modelTypes }) => type !== undefined && modelTypes.includes(type))
  if (family !== undefined && type !== undefined) return family.fromConfig(file, type, json)
  const looksLike = type !== undefined && Object.hasOwn(OTHER_TYPES, type) ? `, ${OTHER_TYPES[type]}` : ''
  throw new CheckpointError({
    file,
    field: 'model_type',
    found: `${show(type)}${looksLike}`,
    expected: `${AN_ENCODER} (${MODEL_TYPES.join(', ')})`,
  })
}

const configSchema = z.object(
  {
    model_type: z.string('a model type').optional(),
    architectures: z.array(z.string('a class name'), 'a list of class names').optional(),
  },
  'a JSON object',
)

/** The model type of an unchecked config.json, where it has one at all. */
export function declaredModelType(json: unknown): string | undefined {
  const declared = z.object({ model_type: z.string() }).safeParse(json)
  return declared.success ? declared.data.model_type : undefined
}

/** A tensor and its sub-block, if it has one; the first sub-block where several share it. */
export type PlacedTensor = TensorSpec & { readonly subBlock: number | undefined }

/** Every tensor of an encoder once: first those outside the sub-blocks, then the shared ones, then each sub-block's own. */
export function tensorsOf(a: Architecture): PlacedTensor[] {
  const family = familyOf(a)
  const inside = a.subBlocks.flatMap((_, subBlock): PlacedTensor[] =>
    family.subBlock(a, subBlock).map((spec) => ({ ...spec, subBlock })),
  )
  const shared = new Map<string, PlacedTensor>()
  for (const tensor of inside) if (tensor.shared && !shared.has(tensor.name)) shared.set(tensor.name, tensor)
  return [
    ...family.fixed(a).map((spec) => ({ ...spec, subBlock: undefined })),
    ...shared.values(),
    ...inside.filter((tensor) => !tensor.shared),
  ]
}

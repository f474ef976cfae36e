import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { check, show } from '../io/check.js'
import type { Architecture } from '../model/architecture.js'
import type { Family, TensorSpec } from './family.js'
import { clip } from './clip.js'
import { gemma } from './gemma.js'
import { llama } from './llama.js'
import { t5 } from './t5.js'

export type { Family, Shapes, TensorSpec } from './family.js'

export const FAMILIES: readonly Family[] = [t5, clip, llama, gemma]

export const MODEL_TYPES = FAMILIES.flatMap(({ modelTypes }) => modelTypes)
/** Those that in pipelines stand beside larger encoders. */
export const BESIDE_TYPES = FAMILIES.filter(({ beside }) => beside).flatMap(({ modelTypes }) => modelTypes)

/** For messages: what counts as an encoder here. */
export const AN_ENCODER = FAMILIES.map(({ title }) => `a ${title}`).join(' or ')
export const ONE_ENCODER = `one ${FAMILIES.map(({ title }) => title).join(' or ')}`

const BESIDE_BERT =
  'Its pipelines have another encoder that can be used: name its folder with the textEncoder option (CLI: --text-encoder)'

/** What other model types are, and what to use instead: for messages about a wrong folder. */
const OTHER_TYPES: Readonly<Record<string, { readonly what: string; readonly use: string }>> = {
  bert: { what: 'a BERT encoder', use: BESIDE_BERT },
  roberta: { what: 'a RoBERTa encoder', use: BESIDE_BERT },
  'xlm-roberta': { what: 'an XLM-RoBERTa encoder', use: BESIDE_BERT },
  jina_clip: { what: 'a Jina CLIP model', use: BESIDE_BERT },
  chatglm: {
    what: 'a ChatGLM language model',
    use: 'Its code is no part of transformers. GLM-4 as transformers saves it (model_type glm) can be used',
  },
  glm4: { what: 'a GLM-4-0414 language model', use: 'GLM-4 of 2024 (model_type glm) can be used' },
  gemma: { what: 'a Gemma 1 language model', use: 'Gemma 2, Gemma 3 and T5Gemma can be used' },
  gemma3n: { what: 'a Gemma 3n language model', use: 'Gemma 2, Gemma 3 and T5Gemma can be used' },
  gemma4: { what: 'a Gemma 4 language model', use: 'Gemma 2, Gemma 3 and T5Gemma can be used' },
  t5gemma2: { what: 'a T5Gemma 2 encoder', use: 'T5Gemma (model_type t5gemma) can be used' },
  gpt_oss: {
    what: 'a GPT-OSS language model, a mixture of experts',
    use: 'A dense language model, such as Qwen 3, can be used',
  },
  mllama: { what: 'a Llama 3.2 Vision model', use: 'Llama 3.1 and 3.2 without images can be used' },
  siglip_text_model: { what: 'a SigLIP text encoder', use: 'A CLIP text encoder can be used' },
  clip_vision_model: { what: 'the image tower of a CLIP', use: 'Name the folder of the text encoder' },
  longt5: {
    what: 'a LongT5 encoder, whose attention is another',
    use: 'T5, mT5 and UMT5 can be used',
  },
}

/** The one of these that the model type is, or is a part or kind of: gemma4_text, gemma4_unified. */
function otherType(type: string): { readonly what: string; readonly use: string } | undefined {
  const names = Object.keys(OTHER_TYPES).filter((name) => type === name || type.startsWith(`${name}_`))
  const [longest] = names.sort((a, b) => b.length - a.length)
  return longest === undefined ? undefined : OTHER_TYPES[longest]
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
  const other = type === undefined ? undefined : otherType(type)
  throw new CheckpointError({
    file,
    field: 'model_type',
    found: `${show(type)}${other === undefined ? '' : `, ${other.what}`}`,
    expected: `${AN_ENCODER} (${MODEL_TYPES.join(', ')})`,
    hint: other?.use,
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

import { CheckpointError } from '../errors.js'
import type { Architecture } from '../model/architecture.js'
import type { FixedRole, Role } from '../model/roles.js'
import { clipArchitecture, clipConfig, clipFromConfig } from './clip-config.js'
import type { Family, Shapes, TensorSpec } from './family.js'

/** The text towers of CLIP and OpenCLIP, with or without their projection. */
export const clip: Family = {
  labels: ['clip'],
  modelTypes: ['clip', 'clip_text_model'],
  title: 'CLIP text encoder',
  beside: true,
  tensors: 'tensors named text_model.*',
  describe: () => 'a CLIP text encoder',
  typeOfClass: (name) => {
    if (/^CLIPText[A-Z]/.test(name)) return 'clip_text_model'
    return name === 'CLIPModel' ? 'clip' : undefined
  },
  fromConfig: clipFromConfig,
  fromShapes,
  asStored,
  config: clipConfig,
  fixed: fixedTensors,
  subBlock: subBlockTensors,
  packed: ({ subBlocks }, s) => {
    const block = blockOf(s)
    return subBlocks[s]!.kind === 'attention'
      ? { in: `${block}self_attn.qkv_proj`, out: `${block}self_attn.out_proj` }
      : { in: `${block}mlp.fc1`, out: `${block}mlp.fc2` }
  },
  prefixes: textPrefixes,
  canonical: textNames,
  // <|startoftext|> and <|endoftext|>
  emptyPrompt: (eos = 49407) => [eos - 1, eos],
  padId: 49407,
  around: [1, 1],
  vocabularies: { clip: { 49408: 'clip' } },
  tokenizerFiles: [
    'tokenizer.json',
    'vocab.json',
    'merges.txt',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'added_tokens.json',
  ],
}

const ROOT = 'text_model.'
const TOKENS = `${ROOT}embeddings.token_embedding.weight`
const POSITIONS = `${ROOT}embeddings.position_embedding.weight`
const PROJECTION = 'text_projection.weight'
const blockOf = (subBlock: number): string => `${ROOT}encoder.layers.${Math.floor(subBlock / 2)}.`

function subBlockTensors({ width, subBlocks }: Architecture, subBlock: number): TensorSpec<Role>[] {
  const s = subBlocks[subBlock]!
  const block = blockOf(subBlock)
  if (s.kind === 'feedForward') {
    return [
      { role: 'norm', name: `${block}layer_norm2.weight`, shape: [width] },
      { role: 'normBias', name: `${block}layer_norm2.bias`, shape: [width] },
      { role: 'up', name: `${block}mlp.fc1.weight`, shape: [s.inner, width] },
      { role: 'upBias', name: `${block}mlp.fc1.bias`, shape: [s.inner] },
      { role: 'down', name: `${block}mlp.fc2.weight`, shape: [width, s.inner] },
      { role: 'downBias', name: `${block}mlp.fc2.bias`, shape: [width] },
    ]
  }
  const inner = s.heads * s.headDim
  return [
    { role: 'norm', name: `${block}layer_norm1.weight`, shape: [width] },
    { role: 'normBias', name: `${block}layer_norm1.bias`, shape: [width] },
    ...(['q', 'k', 'v'] as const).flatMap((role): TensorSpec<Role>[] => [
      { role, name: `${block}self_attn.${role}_proj.weight`, shape: [inner, width] },
      { role: `${role}Bias`, name: `${block}self_attn.${role}_proj.bias`, shape: [inner] },
    ]),
    { role: 'o', name: `${block}self_attn.out_proj.weight`, shape: [width, inner] },
    { role: 'oBias', name: `${block}self_attn.out_proj.bias`, shape: [width] },
  ]
}

function fixedTensors({ width, input, output }: Architecture): TensorSpec<FixedRole>[] {
  const embedding: TensorSpec<FixedRole>[] =
    input.vocab > 0 ? [{ role: 'embedding', name: TOKENS, shape: [input.vocab, width] }] : []
  const projection: TensorSpec<FixedRole>[] = output.projection
    ? [{ role: 'projection', name: PROJECTION, shape: [output.projection.width, width] }]
    : []
  return [
    ...embedding,
    { role: 'positions', name: POSITIONS, shape: [input.positions ?? 0, width] },
    { role: 'finalNorm', name: `${ROOT}final_layer_norm.weight`, shape: [width] },
    { role: 'finalNormBias', name: `${ROOT}final_layer_norm.bias`, shape: [width] },
    ...projection,
  ]
}

/** A projection is used where a file has one, whatever class its config.json names. */
function asStored(a: Architecture, tensors: Shapes): Architecture {
  const width = tensors.get(PROJECTION)?.shape[0]
  if (width === undefined || a.output.projection !== undefined) return a
  return { ...a, output: { ...a.output, projection: { from: 'pooled', width } } }
}

/** Heads and activation of the released towers, by their widths: shapes do not tell them. */
const RELEASED: ReadonlyMap<number, { heads: number; activation: 'quick_gelu' | 'gelu' }> = new Map([
  [768, { heads: 12, activation: 'quick_gelu' }], // CLIP ViT-L
  [1024, { heads: 16, activation: 'gelu' }], // OpenCLIP ViT-H
  [1280, { heads: 20, activation: 'gelu' }], // OpenCLIP ViT-bigG
])

function fromShapes(file: string, tensors: Shapes): Architecture {
  const [positions = 0, width = 0] = tensors.get(POSITIONS)?.shape ?? []
  const known = RELEASED.get(width)
  if (known === undefined) {
    throw new CheckpointError({
      file,
      field: POSITIONS,
      found: `width ${width}`,
      expected: `one of ${[...RELEASED.keys()].join(', ')} where there is no config.json`,
      hint: 'Put the config.json of its model beside it: shapes tell neither heads nor activation',
    })
  }
  const layers = new Set(
    [...tensors.keys()].flatMap((name) => /encoder\.layers\.(\d+)\./.exec(name)?.[1] ?? []),
  )
  const [inner = 0] = tensors.get(`${blockOf(0)}mlp.fc1.weight`)?.shape ?? []
  const [vocab = 0] = tensors.get(TOKENS)?.shape ?? []
  const json = {
    vocab_size: vocab,
    hidden_size: width,
    intermediate_size: inner,
    num_hidden_layers: layers.size,
    num_attention_heads: known.heads,
    max_position_embeddings: positions,
    hidden_act: known.activation,
    eos_token_id: 2, // as their files have it: the largest id is the end
  }
  return asStored(clipArchitecture(file, json, ''), tensors)
}

/** Where a table of tokens is, a text tower is; the tower of images has none. */
const HAS_TOKENS = /^(?<prefix>(?:.*\.)?)embeddings\.token_embedding\.weight$/
const HAS_BLOCKS =
  /^(?<prefix>(?:.*\.)?text_model\.)(?:encoder\.layers\.\d+\.layer_norm[12]|final_layer_norm)\.weight$/

/** The prefixes of `text_model.`, or of what would stand under it: transformers 5 leaves that word out. */
function textPrefixes(names: Iterable<string>): string[] {
  const list = [...names]
  const under = (pattern: RegExp): string[] =>
    list.flatMap((name) => pattern.exec(name)?.groups?.['prefix']?.replace(/text_model\.$/, '') ?? [])
  return [...new Set([...under(HAS_TOKENS), ...under(HAS_BLOCKS)])].sort()
}

function textNames(names: Iterable<string>, prefix: string): Map<string, string> {
  const canonical = new Map<string, string>()
  for (const name of names) {
    if (!name.startsWith(prefix)) continue
    const inside = name.slice(prefix.length).replace(/^text_model\./, '')
    if (inside === PROJECTION) canonical.set(PROJECTION, name)
    else if (/^(encoder|final_layer_norm)\.|^embeddings\.(token|position)_embedding\./.test(inside)) {
      canonical.set(ROOT + inside, name)
    }
  }
  return canonical
}

import type { Architecture } from '../model/architecture.js'
import type { FixedRole, Role } from '../model/roles.js'
import {
  attentionMatrices,
  decoderNames,
  decoderPrefixes,
  feedForwardMatrices,
  fusedFeedForward,
  headNorms,
  packedMatrices,
} from './decoder-tensors.js'
import type { Family, TensorSpec } from './family.js'
import {
  llamaArchitecture,
  llamaConfig,
  LLAMA_CLASSES,
  LLAMA_LABELS,
  LLAMA_TYPES,
  TITLES,
} from './llama-config.js'

/** Decoder-only language models of Llama's block; their labels are the classes that take an export. */
export const llama: Family = {
  labels: LLAMA_LABELS,
  modelTypes: LLAMA_TYPES,
  title: 'language model of the Llama type',
  tensors: 'tensors named layers.*.self_attn and mlp, with its config.json',
  describe: ({ family }) => `a ${TITLES[family as keyof typeof TITLES]} language model`,
  typeOfClass: (name) => {
    const [, prefix = ''] = /^(\w+?)(Text)?(Model|For[A-Z]\w*)$/.exec(name) ?? []
    return Object.hasOwn(LLAMA_CLASSES, prefix) ? LLAMA_CLASSES[prefix] : undefined
  },
  fromConfig: llamaArchitecture,
  config: llamaConfig,
  fixed: fixedTensors,
  subBlock: subBlockTensors,
  packed: (a, s) => packedMatrices(a.subBlocks[s]!.kind, stemOf(s)),
  prefixes: decoderPrefixes,
  canonical: (names, prefix) => decoderNames(names, prefix, 'model.'),
  // nothing; a template of the pipeline stands around it
  emptyPrompt: (eos = 0) => [eos],
  padId: 0,
  tokenizerFiles: [
    'tokenizer.json',
    'tokenizer.model',
    'vocab.json',
    'merges.txt',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'added_tokens.json',
    'chat_template.json',
    'chat_template.jinja',
  ],
}

const stemOf = (subBlock: number): string => `model.layers.${Math.floor(subBlock / 2)}.`

function subBlockTensors(a: Architecture, subBlock: number): TensorSpec<Role>[] {
  const s = a.subBlocks[subBlock]!
  const stem = stemOf(subBlock)
  const norm = s.kind === 'attention' ? 'input_layernorm' : 'post_attention_layernorm'
  const first: TensorSpec<Role> = { role: 'norm', name: `${stem}${norm}.weight`, shape: [a.width] }
  if (s.kind === 'attention') return [first, ...attentionMatrices(a, s, stem), ...headNorms(s, stem)]
  return [first, ...(a.family === 'glm' ? fusedFeedForward : feedForwardMatrices)(a, s, stem)]
}

function fixedTensors({ width, input }: Architecture): TensorSpec<FixedRole>[] {
  const embedding: TensorSpec<FixedRole>[] =
    input.vocab > 0
      ? [{ role: 'embedding', name: 'model.embed_tokens.weight', shape: [input.vocab, width] }]
      : []
  return [...embedding, { role: 'finalNorm', name: 'model.norm.weight', shape: [width] }]
}

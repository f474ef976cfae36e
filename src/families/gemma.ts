import type { Architecture } from '../model/architecture.js'
import type { FixedRole, Role } from '../model/roles.js'
import {
  attentionMatrices,
  decoderNames,
  decoderPrefixes,
  feedForwardMatrices,
  headNorms,
  packedMatrices,
} from './decoder-tensors.js'
import type { Family, TensorSpec } from './family.js'
import {
  gemmaArchitecture,
  gemmaConfig,
  GEMMA_LABELS,
  GEMMA_TYPES,
  gemmaTypeOfClass,
  TITLES,
} from './gemma-config.js'

/** Gemma 2, Gemma 3 and T5Gemma's encoder. Norms multiply by 1 + w, and each sub-block has one after it. */
export const gemma: Family = {
  labels: GEMMA_LABELS,
  modelTypes: GEMMA_TYPES,
  title: 'Gemma language model',
  tensors: 'tensors named layers.*.pre_feedforward_layernorm, with its config.json',
  describe: ({ family }) => `a ${TITLES[family as keyof typeof TITLES]} language model`,
  typeOfClass: gemmaTypeOfClass,
  fromConfig: gemmaArchitecture,
  config: gemmaConfig,
  fixed: fixedTensors,
  subBlock: subBlockTensors,
  packed: (a, s) => packedMatrices(a.subBlocks[s]!.kind, `${rootOf(a)}layers.${Math.floor(s / 2)}.`),
  prefixes: decoderPrefixes,
  canonical: (names, prefix) => decoderNames(names, prefix, isEncoder(prefix) ? 'encoder.' : 'model.'),
  // <bos>; a template of the pipeline stands around it
  emptyPrompt: () => [2],
  padId: 0,
  tokenizerFiles: [
    'tokenizer.json',
    'tokenizer.model',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'added_tokens.json',
    'chat_template.json',
    'chat_template.jinja',
  ],
}

/** T5Gemma's. */
const isEncoder = (prefix: string): boolean => /(^|\.)encoder\.$/.test(prefix)
const rootOf = ({ family }: Architecture): string => (family === 't5gemma' ? 'encoder.' : 'model.')

function subBlockTensors(a: Architecture, subBlock: number): TensorSpec<Role>[] {
  const s = a.subBlocks[subBlock]!
  const stem = `${rootOf(a)}layers.${Math.floor(subBlock / 2)}.`
  const norms = (before: string, after: string): TensorSpec<Role>[] => [
    { role: 'norm', name: `${stem}${before}.weight`, shape: [a.width], plus: 1 },
    { role: 'postNorm', name: `${stem}${after}.weight`, shape: [a.width], plus: 1 },
  ]
  if (s.kind === 'feedForward') {
    const around = norms('pre_feedforward_layernorm', 'post_feedforward_layernorm')
    return [...around, ...feedForwardMatrices(a, s, stem)]
  }
  const around =
    a.family === 't5gemma'
      ? norms('pre_self_attn_layernorm', 'post_self_attn_layernorm')
      : norms('input_layernorm', 'post_attention_layernorm')
  return [...around, ...attentionMatrices(a, s, stem), ...headNorms(s, stem, 1)]
}

function fixedTensors(a: Architecture): TensorSpec<FixedRole>[] {
  const { width, input } = a
  const root = rootOf(a)
  const embedding: TensorSpec<FixedRole>[] =
    input.vocab > 0
      ? [{ role: 'embedding', name: `${root}embed_tokens.weight`, shape: [input.vocab, width] }]
      : []
  return [...embedding, { role: 'finalNorm', name: `${root}norm.weight`, shape: [width], plus: 1 }]
}

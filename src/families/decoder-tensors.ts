import type { Architecture, Attention, FeedForward } from '../model/architecture.js'
import type { Role } from '../model/roles.js'
import type { TensorSpec } from './family.js'

/** Names of tensors that decoder-only language models share. `stem` ends with a dot: `model.`, `model.layers.3.`. */

/** q, k, v and o with the biases they have. */
export function attentionMatrices(
  { width }: Architecture,
  { heads, keyHeads, headDim, bias }: Attention,
  stem: string,
): TensorSpec<Role>[] {
  const [queries, keys] = [heads * headDim, keyHeads * headDim]
  const at = `${stem}self_attn.`
  const biases: TensorSpec<Role>[] = [
    { role: 'qBias', name: `${at}q_proj.bias`, shape: [queries] },
    { role: 'kBias', name: `${at}k_proj.bias`, shape: [keys] },
    { role: 'vBias', name: `${at}v_proj.bias`, shape: [keys] },
    { role: 'oBias', name: `${at}o_proj.bias`, shape: [width] },
  ]
  return [
    { role: 'q', name: `${at}q_proj.weight`, shape: [queries, width] },
    { role: 'k', name: `${at}k_proj.weight`, shape: [keys, width] },
    { role: 'v', name: `${at}v_proj.weight`, shape: [keys, width] },
    { role: 'o', name: `${at}o_proj.weight`, shape: [width, queries] },
    ...biases.slice(0, { none: 0, qkv: 3, all: 4 }[bias]),
  ]
}

/** Norms of heads, one for all heads of queries and one for all of keys. */
export const headNorms = (
  { headNorm, headDim }: Attention,
  stem: string,
  plus?: number,
): TensorSpec<Role>[] =>
  headNorm === undefined
    ? []
    : [
        { role: 'qNorm', name: `${stem}self_attn.q_norm.weight`, shape: [headDim], ...(plus && { plus }) },
        { role: 'kNorm', name: `${stem}self_attn.k_norm.weight`, shape: [headDim], ...(plus && { plus }) },
      ]

export function feedForwardMatrices(
  { width }: Architecture,
  { inner, bias }: FeedForward,
  stem: string,
): TensorSpec<Role>[] {
  const at = `${stem}mlp.`
  const matrices: TensorSpec<Role>[] = [
    { role: 'gate', name: `${at}gate_proj.weight`, shape: [inner, width] },
    { role: 'up', name: `${at}up_proj.weight`, shape: [inner, width] },
    { role: 'down', name: `${at}down_proj.weight`, shape: [width, inner] },
  ]
  if (!bias) return matrices
  return [
    ...matrices,
    { role: 'gateBias', name: `${at}gate_proj.bias`, shape: [inner] },
    { role: 'upBias', name: `${at}up_proj.bias`, shape: [inner] },
    { role: 'downBias', name: `${at}down_proj.bias`, shape: [width] },
  ]
}

/** Gate over up in one matrix, as some classes save them. */
export function fusedFeedForward(
  { width }: Architecture,
  { inner }: FeedForward,
  stem: string,
): TensorSpec<Role>[] {
  const name = `${stem}mlp.gate_up_proj.weight`
  const of = 2 * inner
  return [
    { role: 'gate', name, shape: [inner, width], part: { from: 0, of } },
    { role: 'up', name, shape: [inner, width], part: { from: inner, of } },
    { role: 'down', name: `${stem}mlp.down_proj.weight`, shape: [width, inner] },
  ]
}

/** What the packed matrices of a sub-block are called. */
export const packedMatrices = (
  kind: 'attention' | 'feedForward',
  stem: string,
): { in: string; out: string } =>
  kind === 'attention'
    ? { in: `${stem}self_attn.qkv_proj`, out: `${stem}self_attn.o_proj` }
    : { in: `${stem}mlp.gate_up_proj`, out: `${stem}mlp.down_proj` }

// every sub-block has one of these, packed ones too; towers of other modalities call theirs by other names
const NORM =
  /^(?<prefix>(?:.*\.)?)layers\.\d+\.(?:input_layernorm|post_attention_layernorm|pre_feedforward_layernorm|pre_self_attn_layernorm)\.weight$/
const FINAL_NORM = /^(?<prefix>(?:.*\.)?)norm\.weight$/

/**
 * Every prefix under which the layers of a language model stand: none, `model.`, `model.language_model.`, `language_model.model.`, ...
 * An export may hold no layers at all; then the final norm beside an embedding tells.
 */
export function decoderPrefixes(names: Iterable<string>): string[] {
  const list = new Set(names)
  const under = (pattern: RegExp): string[] => [
    ...new Set([...list].flatMap((name) => pattern.exec(name)?.groups?.['prefix'] ?? [])),
  ]
  const prefixes = under(NORM)
  const found =
    prefixes.length > 0
      ? prefixes
      : under(FINAL_NORM).filter((prefix) => list.has(`${prefix}embed_tokens.weight`))
  return found.filter((prefix) => !/(^|\.)decoder\.$/.test(prefix)).sort()
}

/**
 * Canonical name -> name in the file: layers, embedding and final norm under `prefix`, called `stem` instead. Heads, towers and
 * frequencies that old releases saved are left out.
 */
export function decoderNames(names: Iterable<string>, prefix: string, stem: string): Map<string, string> {
  const canonical = new Map<string, string>()
  for (const name of names) {
    if (!name.startsWith(prefix) || name.endsWith('rotary_emb.inv_freq')) continue
    const inside = name.slice(prefix.length)
    if (/^(layers|embed_tokens|norm)\./.test(inside)) canonical.set(stem + inside, name)
  }
  return canonical
}

import type { Selection } from '../select/index.js'

/** How a selection was made, in a few words: the method, and what of its provenance differs from the method's default. */
export function methodName({ plan, trace }: Selection): string {
  const { reuse, dedup } = plan.provenance ?? {}
  const { method } = trace
  const parts = [method]
  if (method === 'paper' && reuse === 'none') parts.push('skip only')
  if (method === 'paper' && reuse === 'ascending') parts.push('ascending')
  if (method === 'paper' && dedup === true) parts.push('sets')
  if (['finercut', 'shortgpt', 'laco'].includes(method) && reuse !== 'none') parts.push('re-use')
  if (trace.metric === 'cosine') parts.push('cosine')
  return parts.join(', ')
}

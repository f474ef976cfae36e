import { CheckpointError } from '../errors.js'

/** PEFT wraps the layers it trains: the weights it found go by another name, with a few small matrices beside them. */
const WRAPPED = /\.(base_layer|original_module)\./
const ADAPTER = /\.(lora_\w+|hada_\w+|lokr_\w+|ia3_\w+|oft_\w+|vera_\w+|modules_to_save)(\.|$)/

/** Throws CheckpointError where an encoder (by canonical names) carries an adapter: its weights are not what it computes with. */
export function refuseUnmerged(located: ReadonlyMap<string, { file: string; name: string }>): void {
  const names = [...located.keys()]
  const mark = names.find((name) => WRAPPED.test(name)) ?? names.find((name) => ADAPTER.test(name))
  if (mark === undefined) return
  const { file, name } = located.get(mark)!
  const alone = names.every((each) => ADAPTER.test(each))
  throw new CheckpointError({
    file,
    field: name,
    found: alone ? 'a LoRA (weight differences, not a model)' : 'a PEFT model with an unmerged LoRA',
    expected: 'the weights of an encoder',
    hint: 'Merge it first: merge_and_unload() in peft, then save_pretrained().',
  })
}

/** What a file is when it is not the encoder that was asked for: for error messages, never for decisions. */

/** The way out for those who have weights as PyTorch saves them. */
export const PICKLE_HINT =
  'Pickles run code when they are read, so they are not read here. Convert: load the folder in transformers ' +
  '(T5EncoderModel or UMT5EncoderModel) and save_pretrained() it, which writes safetensors; or take a repository that has ' +
  'them: comfyanonymous/flux_text_encoders has T5-XXL, Wan-AI/Wan2.1-T2V-14B-Diffusers has UMT5-XXL'

export const isPickle = (kind: string): boolean => /pickle/i.test(kind)

/** Tells by the first bytes what users and download tools leave under a checkpoint's name. */
export function identifyBytes(start: Uint8Array): string | undefined {
  const text = Buffer.from(start.buffer, start.byteOffset, Math.min(start.length, 256)).toString('latin1')
  if (start.length === 0) return 'an empty file'
  // a safetensors header of 640 bytes begins like a pickle does
  if (/^[^]{4}\0{4}\{/.test(text)) return undefined
  if (text.startsWith('GGUF')) return 'a GGUF file'
  if (text.startsWith('PK\x03\x04')) return 'a zip archive, as PyTorch pickles (.bin, .pt, .ckpt) are'
  if (/^\x80[\x02-\x05]/.test(text)) return 'a Python pickle (.bin, .pt, .ckpt)'
  if (text.startsWith('\x89HDF')) return 'an HDF5 file'
  if (text.startsWith('version https://git-lfs')) {
    return 'a Git LFS pointer, a stand-in of a few lines for the real file (run `git lfs pull`)'
  }
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) return 'a web page, as a failed download leaves'
  if (/^\s*\{\s*"/.test(text)) return 'a JSON text'
  return undefined
}

/** Patterns of tensor names, and what a file with such a name is. The first pattern that matches decides. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [/(^|[._])lora_|\.lora\.|(^|\.)(hada|lokr)_|\.dora_scale$/, 'a LoRA (weight differences, not a model)'],
  [/^(control_model|controlnet)[._]|(^|\.)controlnet_/, 'a ControlNet'],
  [/^(emb_params|string_to_param|clip_[gl])$/, 'a textual inversion embedding'],
  [
    /^model\.diffusion_model\.(input|middle|output)_blocks?\./,
    'an image checkpoint with a UNet denoiser and no T5 encoder',
  ],
  [/^model\.diffusion_model\./, 'an image checkpoint with a transformer denoiser and no T5 encoder'],
  [
    /^((double|single|joint)_blocks|(single_)?transformer_blocks|caption_projection|context_embedder)\./,
    'a transformer denoiser',
  ],
  [/^(down_blocks\.\d+\.(resnets|attentions)|input_blocks|mid_block)\./, 'a UNet denoiser'],
  [
    /^(first_stage_model\.)?(encoder|decoder)\.(down|up|mid|conv_in|down_blocks|up_blocks|mid_block)\b|^(post_)?quant_conv\./,
    'a VAE (image autoencoder)',
  ],
  [/(^|\.)vision_model\.|^visual\./, 'a CLIP model with its image tower'],
  [/(^|\.)text_model\.(encoder\.layers|embeddings)\.|(^|\.)transformer\.resblocks\./, 'a CLIP text encoder'],
  [
    /^(blocks\.\d+\.attn\.q\.weight|blocks\.\d+\.ffn\.gate\.0\.weight)$/,
    "a UMT5 encoder under the tensor names of Wan's own code (the diffusers and ComfyUI files of it can be used)",
  ],
  [
    /(^|\.)model\.layers\.\d+\.(self_attn|mlp)\.|(^|\.)transformer\.h\.\d+\./,
    'a decoder-only language model',
  ],
  [/(^|\.)encoder\.layer\.\d+\.attention\.|(^|\.)embeddings\.word_embeddings\./, 'a BERT-like encoder'],
  [/(^|\.)encoder\.layers\.\d+\.self_attn\./, 'an encoder of another family (BART, Whisper or their like)'],
  [/^decoder\.block\./, 'the decoder of a T5 model without its encoder'],
  [/^inputs?_(ids|embeds)$|^last_hidden_state$/, 'model inputs or results'],
]

/** Tells by tensor names what a safetensors file without a T5 encoder looks like. */
export function identifyTensors(names: readonly string[]): string {
  if (names.length === 0) return 'a safetensors file without tensors'
  const kind = KINDS.find(([pattern]) => names.some((name) => pattern.test(name)))
  if (kind !== undefined) return `what looks like ${kind[1]}`
  const some = names.slice(0, 3).map((name) => name.slice(0, 60))
  return `${names.length} tensors of an unknown model (${some.join(', ')}${names.length > 3 ? ', ...' : ''})`
}

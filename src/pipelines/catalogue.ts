import { show } from '../io/show.js'
import { InputError } from '../errors.js'
import { anima } from './data/anima.js'
import { auraflow } from './data/auraflow.js'
import { briaFibo2 } from './data/bria-fibo-2.js'
import { briaFibo } from './data/bria-fibo.js'
import { bria } from './data/bria.js'
import { chroma } from './data/chroma.js'
import { cogvideox } from './data/cogvideox.js'
import { cosmos25Predict } from './data/cosmos2.5-predict.js'
import { ernieImage } from './data/ernie-image.js'
import { flux } from './data/flux.js'
import { flux2Dev } from './data/flux2-dev.js'
import { flux2Klein } from './data/flux2-klein.js'
import { flux3 } from './data/flux3.js'
import { hidreamI1 } from './data/hidream-i1.js'
import { hunyuanImage21 } from './data/hunyuan-image-2.1.js'
import { hunyuanVideo15 } from './data/hunyuan-video-1.5.js'
import { hunyuanVideo } from './data/hunyuan-video.js'
import { ideogram4 } from './data/ideogram4.js'
import { kandinsky5Video } from './data/kandinsky5-video.js'
import { kandinsky6 } from './data/kandinsky6.js'
import { krea2 } from './data/krea2.js'
import { longcatImage } from './data/longcat-image.js'
import { ltx } from './data/ltx.js'
import { ltx2 } from './data/ltx2.js'
import { lumina2 } from './data/lumina2.js'
import { mochi } from './data/mochi.js'
import { ovisImage } from './data/ovis-image.js'
import { pixartSigma } from './data/pixart-sigma.js'
import { prx } from './data/prx.js'
import { qwenImage21 } from './data/qwen-image-2.1.js'
import { qwenImage } from './data/qwen-image.js'
import { sana } from './data/sana.js'
import { sd15 } from './data/sd15.js'
import { sd3 } from './data/sd3.js'
import { sdxl } from './data/sdxl.js'
import { wan } from './data/wan.js'
import { zImage } from './data/z-image.js'
import type { PipelineData } from './types.js'

/** Every pipeline by its name, each in a file of its own. */
const catalogue = {
  anima,
  auraflow,
  'bria-fibo-2': briaFibo2,
  'bria-fibo': briaFibo,
  bria,
  chroma,
  cogvideox,
  'cosmos2.5-predict': cosmos25Predict,
  'ernie-image': ernieImage,
  flux,
  'flux2-dev': flux2Dev,
  'flux2-klein': flux2Klein,
  flux3,
  'hidream-i1': hidreamI1,
  'hunyuan-image-2.1': hunyuanImage21,
  'hunyuan-video-1.5': hunyuanVideo15,
  'hunyuan-video': hunyuanVideo,
  ideogram4,
  'kandinsky5-video': kandinsky5Video,
  kandinsky6,
  krea2,
  'longcat-image': longcatImage,
  ltx,
  ltx2,
  lumina2,
  mochi,
  'ovis-image': ovisImage,
  'pixart-sigma': pixartSigma,
  prx,
  'qwen-image-2.1': qwenImage21,
  'qwen-image': qwenImage,
  sana,
  sd15,
  sd3,
  sdxl,
  wan,
  'z-image': zImage,
} as const satisfies Record<string, PipelineData>

export type PromptPipelineName = keyof typeof catalogue
export const promptPipelines: Readonly<Record<PromptPipelineName, PipelineData>> = Object.freeze(catalogue)

/** @throws InputError that lists the names, for any other */
export function pipelineNamed(name: string): PipelineData {
  if (Object.hasOwn(catalogue, name)) return catalogue[name as PromptPipelineName]
  const expected = Object.keys(catalogue).join(', ')
  throw new InputError({ field: 'pipeline', found: show(name), expected })
}

/** The name of the pipeline with a class of diffusers, as model_index.json has it. */
export const pipelineOfClass = (name: string): PromptPipelineName | undefined =>
  (Object.keys(catalogue) as PromptPipelineName[]).find((key) => pipelineNamed(key).classes.includes(name))

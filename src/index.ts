/** skrr: text encoders in minimal memory, under plans that skip and re-use layers. */
export { Encoder, type Elements, type Encoded } from './encoder.js'
export { PromptEncoder, type PipelineEstimate, type PromptEncoderOptions } from './prompt-encoder/index.js'
export { type Arguments, type Output, type Tensor } from './pipelines/types.js'
export {
  type EncodeOptions,
  type EncoderInput,
  type LoadOptions,
  type LoadProgress,
  type SetPlanOptions,
} from './options.js'
export { type Masked, type Matrix } from './prompts/batch.js'
export { type EstimateOptions, type MemoryUse } from './native/estimate.js'
export { type OutputType } from './native/addon.js'
export { type Outputs, type Pooled, type State } from './model/outputs.js'
export { type Precision } from './model/precision.js'
export { Plan, type PlanChanges, type PlanOptions } from './plan/plan.js'
export { type Compensation } from './plan/compensation.js'
export { readPlan, writePlan } from './plan/file.js'
export { listPresets, resolvePreset } from './plan/presets.js'
export { strip, type StripOptions } from './plan/strip.js'
export {
  selectPlan,
  type CalibrationInput,
  type Discrepancy,
  type Method,
  type Selection,
  type SelectOptions,
  type SelectProgress,
  type Target,
  type Trace,
  type Work,
} from './select/index.js'
export { measureSimilarity, type Similarity, type SimilarityOptions } from './select/measure/similarity.js'
export { writeReport } from './report/report.js'
export { type ReportContext } from './report/context.js'
export {
  type Architecture,
  type Attention,
  type Distance,
  type FeedForward,
  type Norm,
  type Pooling,
  type SubBlock,
} from './model/architecture.js'
export { blocksOf, denseParameters, subBlockParameters } from './model/parameters.js'
export { pipelines, type Pipeline, type PipelineName } from './pipelines/index.js'
export { openCheckpoint, type OpenOptions } from './checkpoint/open.js'
export { exportPacked, type PackedExportOptions } from './export/packed.js'
export { exportCheckpoint, type ExportOptions } from './export/checkpoint.js'
export { type Checkpoint, type TensorRef } from './checkpoint/types.js'
export {
  CheckpointError,
  InputError,
  OutputError,
  PlanError,
  SkrrError,
  TokenizerError,
  type ErrorCode,
  type ErrorDetail,
} from './errors.js'

// one line for each config.json and each naming in the golden folders: config, weights, name of the first query matrix
export const FORMS: Record<string, [config: string, weights: string, query: string][]> = {
  clip: [
    [
      'clip-l-tiny/config.json',
      'clip-l-tiny/model.safetensors',
      'text_model.encoder.layers.0.self_attn.q_proj.weight',
    ],
    [
      'clip-l-tiny/bf16/config.json',
      'clip-l-tiny/bf16/model.safetensors',
      'text_model.encoder.layers.0.self_attn.q_proj.weight',
    ],
  ],
  qwen3: [
    ['qwen3-tiny/config.json', 'qwen3-tiny/model.safetensors', 'model.layers.0.self_attn.q_proj.weight'],
    [
      'qwen3-tiny/config-v4.json',
      'qwen3-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
  ],
  'qwen2.5-vl': [
    [
      'qwen2_5_vl-tiny/config.json',
      'qwen2_5_vl-tiny/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'qwen2_5_vl-tiny/config-hub-flat.json',
      'qwen2_5_vl-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'qwen2_5_vl-tiny/config-v4-both.json',
      'qwen2_5_vl-tiny/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'qwen2_5_vl-tiny/config-text.json',
      'qwen2_5_vl-tiny/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
  ],
  'qwen3-vl': [
    [
      'qwen3_vl-tiny/config.json',
      'qwen3_vl-tiny/bf16/model.safetensors',
      'model.language_model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'qwen3_vl-tiny/config-v4.json',
      'qwen3_vl-tiny/bf16/model.safetensors',
      'model.language_model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'qwen3_vl-tiny/config-text.json',
      'qwen3_vl-tiny/bf16/model-text-only.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
  ],
  llama: [
    ['llama-tiny/config.json', 'llama-tiny/model.safetensors', 'model.layers.0.self_attn.q_proj.weight'],
    ['llama-tiny/config-v4.json', 'llama-tiny/model.safetensors', 'model.layers.0.self_attn.q_proj.weight'],
  ],
  llama3: [
    ['llama3-tiny/config.json', 'llama-tiny/model.safetensors', 'model.layers.0.self_attn.q_proj.weight'],
    ['llama3-tiny/config-v4.json', 'llama-tiny/model.safetensors', 'model.layers.0.self_attn.q_proj.weight'],
  ],
  mistral: [
    [
      'mistral-tiny/config.json',
      'mistral-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'mistral-tiny/config-v4.json',
      'mistral-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'mistral-tiny/bf16-nested/config.json',
      'mistral-tiny/bf16-nested/model.safetensors',
      'language_model.model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'mistral-tiny/bf16-nested/config-v4.json',
      'mistral-tiny/bf16-nested/model.safetensors',
      'language_model.model.layers.0.self_attn.q_proj.weight',
    ],
  ],
  'mistral-sliding': [
    [
      'mistral-sliding-tiny/config.json',
      'mistral-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'mistral-sliding-tiny/config-v4.json',
      'mistral-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
  ],
  ministral3: [
    [
      'ministral3-tiny/config.json',
      'mistral-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
  ],
  smollm3: [
    ['smollm3-tiny/config.json', 'llama-tiny/model.safetensors', 'model.layers.0.self_attn.q_proj.weight'],
    [
      'smollm3-tiny/config-v4.json',
      'llama-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
  ],
  glm: [
    ['glm-tiny/config.json', 'glm-tiny/bf16/model.safetensors', 'model.layers.0.self_attn.q_proj.weight'],
    ['glm-tiny/config-v4.json', 'glm-tiny/bf16/model.safetensors', 'model.layers.0.self_attn.q_proj.weight'],
  ],
  gemma2: [
    ['gemma2-tiny/config.json', 'gemma2-tiny/model.safetensors', 'model.layers.0.self_attn.q_proj.weight'],
    [
      'gemma2-tiny/config-v4.json',
      'gemma2-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
  ],
  gemma3: [
    [
      'gemma3-tiny/config.json',
      'gemma3-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'gemma3-tiny/config-v4.json',
      'gemma3-tiny/bf16/model.safetensors',
      'model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'gemma3-tiny/bf16-nested/config.json',
      'gemma3-tiny/bf16-nested/model.safetensors',
      'language_model.model.layers.0.self_attn.q_proj.weight',
    ],
    [
      'gemma3-tiny/bf16-nested/config-v4.json',
      'gemma3-tiny/bf16-nested/model.safetensors',
      'language_model.model.layers.0.self_attn.q_proj.weight',
    ],
  ],
  t5gemma: [
    [
      't5gemma-tiny/config.json',
      't5gemma-tiny/bf16/model.safetensors',
      'encoder.layers.0.self_attn.q_proj.weight',
    ],
    [
      't5gemma-tiny/bf16/config.json',
      't5gemma-tiny/bf16/model.safetensors',
      'encoder.layers.0.self_attn.q_proj.weight',
    ],
  ],
}

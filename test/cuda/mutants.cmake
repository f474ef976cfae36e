# Plants one bug after the other in the kernels and runs their tests on the machine: each must be caught. A test that no
# longer notices a missing barrier is itself broken, and this says so. Run by ctest (cuda_mutants); called with
#   ROOT: the sources, WORK: a folder to build in, CXX: the compiler, OBJECTS and LIBRARIES: what tests are linked with
cmake_minimum_required(VERSION 3.18)

set(CHECKED -fsanitize=thread -fsanitize=bounds,alignment,shift) # as skrr_emulated_kernels() in test/simt
set(survivors "")
set(count 0)

# In `file` of cuda/, replaces `from` by `to`, compiles `kernel`.cu against it and runs the kernel's test.
function(mutant name file kernel test from to)
  file(READ "${ROOT}/cuda/${file}" text)
  string(FIND "${text}" "${from}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "mutant '${name}': ${file} no longer contains\n${from}")
  endif()
  string(REPLACE "${from}" "${to}" text "${text}")
  file(REMOVE_RECURSE "${WORK}")
  file(WRITE "${WORK}/cuda/${file}" "${text}")
  if(NOT EXISTS "${WORK}/cuda/${kernel}.cu")
    configure_file("${ROOT}/cuda/${kernel}.cu" "${WORK}/cuda/${kernel}.cu" COPYONLY)
  endif()

  string(REPLACE "|" ";" libraries "${LIBRARIES}")
  string(REPLACE "|" ";" objects "${OBJECTS}")
  list(FILTER objects INCLUDE REGEX "test_${test}\\.cpp")
  execute_process(
    COMMAND ${CXX} -std=gnu++17 -O1 -g ${CHECKED} -w -Wno-psabi -I${WORK} -I${ROOT} -x c++ -c ${WORK}/cuda/${kernel}.cu -o ${WORK}/mutant.o
    COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${CXX} ${WORK}/mutant.o ${objects} ${libraries} -o ${WORK}/test -ldl -pthread
                  COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env SKRR_STOP_AT_FAILURE=1 ${WORK}/test TIMEOUT 60 RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(REGEX MATCH "\\[[a-z ]+\\] |CHECK\\([^\n]*|is [^\n]*expected at most [^\n]*" evidence "${output}")
  if(result EQUAL 0)
    message("SURVIVED  ${name}")
    set(survivors "${survivors}\n  ${name}" PARENT_SCOPE)
  else()
    message("caught    ${name}: ${evidence}")
  endif()
  math(EXPR next "${count} + 1")
  set(count ${next} PARENT_SCOPE)
endfunction()

# --- the pipeline of a product ---
mutant("no barrier before a stage is multiplied and refilled" gemm_tile.cuh gemm gemm
  "    __syncthreads();\n    copy_slice(slice" "    copy_slice(slice")
mutant("waits for one group too few" gemm_tile.cuh gemm gemm
  "cp_async_wait<Tile::kStages - 2>" "cp_async_wait<Tile::kStages - 1>")
mutant("refills the stage that is being multiplied" gemm_tile.cuh gemm gemm
  "copy_slice(slice + Tile::kStages - 1)" "copy_slice(slice + Tile::kStages)")
mutant("rows past the end are copied" gemm_tile.cuh gemm gemm "row < from.rows && k" "k")
mutant("columns past the end of K are copied" gemm_tile.cuh gemm gemm
  "row < from.rows && k + chunk * 8 < k_end" "row < from.rows")
mutant("W's fragments are swapped" gemm_tile.cuh gemm gemm
  "w[j / 2][j % 2 * 2], w[j / 2][j % 2 * 2 + 1]" "w[j / 2][j % 2], w[j / 2][j % 2 + 2]")
mutant("written without the swizzle it is read with" gemm_tile.cuh gemm gemm
  "shared + swizzled<Tile::kRowBytes>(row, chunk)" "shared + uint32_t(row * Tile::kRowBytes + chunk * 16)")
mutant("no swizzle at all: right, but with bank conflicts" swizzle.cuh gemm gemm
  "kRowBytes == 64 ? chunk ^ (row >> 1 & 3) : chunk ^ (row & 7)" "chunk")
mutant("the swizzle of longer rows" swizzle.cuh gemm gemm "chunk ^ (row >> 1 & 3)" "chunk ^ (row & 3)")

# --- the layer table, and the epilogue ---
mutant("table index past the end" gemm.cu gemm gemm "g.at.table[g.at.step]" "g.at.table[g.at.step + 2]")
mutant("the slot of the position, not of the table" gemm.cu gemm gemm "g.at.slots[step.slot]" "g.at.slots[g.at.step]")
mutant("a skipped step runs" gemm.cu gemm gemm "if (step.slot < 0) return;" "")
mutant("the step's scale is forgotten" epilogue.cuh gemm gemm "h[j].x + step.scale * c[j][half]" "h[j].x + c[j][half]")
mutant("rows past the end are stored" epilogue.cuh gemm gemm "row < g.m && column < g.n" "column < g.n")
mutant("rows past the end are added to" epilogue.cuh gemm gemm "if (row >= g.m || column + j * 8 >= g.n) continue" "if (column + j * 8 >= g.n) continue")
mutant("columns past the end are stored" epilogue.cuh gemm gemm "row < g.m && column < g.n" "row < g.m")
mutant("gate and value change places" epilogue.cuh gemm gemm
  "act(f * acc[i][j][e]) * (f * acc[i][j + 1][e])" "act(f * acc[i][j + 1][e]) * (f * acc[i][j][e])")
mutant("all splits write to one place" epilogue.cuh gemm gemm "size_t(split) * size_t(g.m)" "size_t(g.m)")
mutant("splits overlap" gemm.cu gemm gemm "(int(blockIdx.z) + 1) * depth" "(int(blockIdx.z) + 2) * depth")
mutant("one partial product is left out" residual.cu residual rms_norm "s < splits" "s + 1 < splits")
mutant("no barrier in a block's sum" block_sum.cuh rms_norm rms_norm "  __syncthreads();\n" "")
mutant("epsilon is forgotten" rms_norm.cu rms_norm rms_norm " + epsilon" "")

# --- biases, post-norm, LayerNorm ---
mutant("the bias of the first column for both" epilogue.cuh gemm gemm "acc[i][j][2 * half + 1], b.y)" "acc[i][j][2 * half + 1], b.x)")
mutant("the bias of the other matrix" epilogue.cuh gemm gemm "g.out_weights ? slot.out_bias : slot.in_bias" "g.out_weights ? slot.in_bias : slot.out_bias")
mutant("every split adds the bias" epilogue.cuh gemm gemm "g.epilogue == Epilogue::kPart || split != kWhole" "g.epilogue == Epilogue::kPart")
mutant("biases past the end are read" epilogue.cuh gemm gemm "column < g.n ? *reinterpret_cast<const float2*>(bias + column) : float2{}" "*reinterpret_cast<const float2*>(bias + column)")
mutant("the sum of parts has no bias" residual.cu residual gemm "if (!bias) return sum;" "return sum;")
mutant("gelu by tanh" activation.cuh gemm gemm "activation == Activation::kGelu)" "false)")
mutant("the post-norm misses a barrier" block_sum.cuh residual rms_norm "  __syncthreads();\n" "")
mutant("the post-norm's epsilon is forgotten" residual.cu residual rms_norm " + slot.post_epsilon" "")
mutant("the variance about zero" layer_norm.cu layer_norm rms_norm "squares += (h[c] - mean) * (h[c] - mean)" "squares += h[c] * h[c]")
mutant("both sums share their scratch" layer_norm.cu layer_norm rms_norm "scratch + kWarps" "scratch")

# --- the norm between sub-blocks ---
mutant("rows are not normed" epilogue.cuh gemm rms_norm "{row, column, f * acc[i][j][e], f * acc[i][j][e + 1]}" "{row, column, acc[i][j][e], acc[i][j][e + 1]}")
mutant("the gate is not normed" epilogue.cuh gemm rms_norm "* (f * acc[i][j + 1][e])" "* acc[i][j + 1][e]")
mutant("the factor of the other half's row" epilogue.cuh gemm rms_norm "factors[i][e / 2]" "factors[i][0]")
mutant("epsilon is forgotten between sub-blocks" normed_rows.cuh gemm rms_norm " + norm.epsilon" "")
mutant("only the first squares are summed" normed_rows.cuh gemm rms_norm "g < groups; g += 32" "g < 32 && g < groups; g += 32")
mutant("squares of rows past the end are read" normed_rows.cuh gemm rms_norm "norm.squares && first_row + r < rows" "norm.squares")
mutant("the norm of this step, not of the next" normed_rows.cuh gemm rms_norm "at.slots[step.next].norm" "at.slots[step.slot].norm")
mutant("the norm of no step" normed_rows.cuh gemm rms_norm "step.next < 0 ? nullptr : " "")
mutant("the sum of half the lanes" normed_rows.cuh gemm rms_norm "(pairs[2] + pairs[3]), 1), 2)" "(pairs[2] + pairs[3]), 1), 1)")
mutant("squares of one group in the place of the next" normed_rows.cuh gemm rms_norm "column / kSquareColumns)] = squares" "column / kSquareColumns + 1)] = squares")
mutant("the columns' sum misses lanes" normed_rows.cuh residual rms_norm "square_of_pair(h.z, h.w), 2), 4)" "square_of_pair(h.z, h.w), 2), 2)")
mutant("squares before the step is added" epilogue.cuh gemm rms_norm "square_of_pair(sum.x, sum.y)" "square_of_pair(h[j].x, h[j].y)")
mutant("the parts' stream is not made ready" residual.cu residual rms_norm "  store_normed(next, next_norm(at, step), row, padded, column, valid, sum);\n" "")
mutant("the norm of a step that is skipped" rms_norm.cu rms_norm rms_norm "if (at.table[s].slot >= 0) return" "return")

# --- the same on Hopper ---
macro(hopper_mutant name from to)
  mutant("${name}" hopper_gemm.cu hopper_gemm hopper_gemm "${from}" "${to}")
endmacro()
hopper_mutant("a copy is not waited for" "    mbarrier_wait(ring.full(), ring.parity);\n" "")
hopper_mutant("waits for the round before" "mbarrier_wait(ring.full(), ring.parity)" "mbarrier_wait(ring.full(), ring.parity ^ 1)")
hopper_mutant("the parity does not turn with the ring" "stage = 0, parity ^= 1" "stage = 0")
hopper_mutant("the producer does not wait for a free stage" "      mbarrier_wait(ring.empty(), ring.parity ^ 1);\n" "")
hopper_mutant("stages are not released" "    if (slice > tile.begin) release<kBlocks>(before);\n" "")
hopper_mutant("a stage is released while it is multiplied" "wgmma_wait<1>" "wgmma_wait<2>")
hopper_mutant("this slice's stage is released, not that of the slice before" "release<kBlocks>(before);\n    before" "release<kBlocks>(ring);\n    before")
hopper_mutant("the first warp to be ready releases a stage" "mbarrier_init(ring.empty(), kConsumerWarps * kBlocks)" "mbarrier_init(ring.empty(), 1)")
hopper_mutant("one warp of four releases" "int(threadIdx.x) % 32;\n  if constexpr" "int(threadIdx.x) % kWarpgroup;\n  if constexpr")
hopper_mutant("no fence before products" "    wgmma_fence(acc);\n" "")
hopper_mutant("sums are stored before the last products are over" "  wgmma_wait<0>(acc);\n" "")
hopper_mutant("fewer bytes announced than copied" "(kXBoxes + tile.boxes) * kBoxBytes" "tile.boxes * kBoxBytes")
hopper_mutant("more bytes announced than copied" "(kXBoxes + tile.boxes) * kBoxBytes" "(kXBoxes + kMaxWBoxes) * kBoxBytes")
hopper_mutant("barriers the copy engine does not see" "  fence_async_proxy();\n" "")
hopper_mutant("barriers the other block does not see" "  fence_mbarrier_init();\n" "")
hopper_mutant("no barrier after the barriers are made" "    __syncthreads();\n" "")
hopper_mutant("the tensor map is not fenced" "      fence_tensor_map(w);\n" "")
hopper_mutant("the tensor map of the other matrix" "g.out_weights ? 1 : 0" "g.out_weights ? 0 : 1")
hopper_mutant("the tensor map of the position, not of the table" "g.at.slots[step.slot].maps" "g.at.slots[g.at.step].maps")
hopper_mutant("half the way along K" "x + uint64_t(k * 2), w + uint64_t(k * 2)" "x + uint64_t(k), w + uint64_t(k)")
hopper_mutant("a descriptor of 64-byte swizzle" "uint64_t(1) << 62" "uint64_t(2) << 62")
hopper_mutant("a descriptor of denser rows" "1024 >> 4" "512 >> 4")
hopper_mutant("both warpgroups multiply the same rows" "ring.x(warpgroup)" "ring.x(0)")
hopper_mutant("row and column of a box change places" "x, tile.row + box * kBoxRows, slice * kDepth" "x, slice * kDepth, tile.row + box * kBoxRows")
hopper_mutant("the first box of W twice" "tile.column + box * kBoxRows" "tile.column")
hopper_mutant("narrow tiles begin too early" "across + tiling.wide" "across")
hopper_mutant("splits overlap" "(split + 1) * tiling.depth" "(split + 2) * tiling.depth")
hopper_mutant("a stage is released to its own block alone" "if (lane < kBlocks)" "if (lane == cluster_rank())")
hopper_mutant("a stage is empty when one block is done with it" "kConsumerWarps * kBlocks" "kConsumerWarps")
hopper_mutant("a block copies before the other's barriers are made" "    cluster_sync();\n  } else" "    __syncthreads();\n  } else")
hopper_mutant("a block ends while the other reaches into it" "  if constexpr (kBlocks > 1) cluster_sync();" "")
hopper_mutant("both blocks copy the same boxes" "int box = kBlocks > 1 ? cluster_rank() : 0" "int box = 0")
hopper_mutant("W goes to one block alone" "(1 << kBlocks) - 1" "1")
hopper_mutant("both blocks multiply the same rows" "kBlocks + (kBlocks > 1 ? cluster_rank() : 0)" "kBlocks")
hopper_mutant("registers nobody gave" "    give_registers<40>();\n" "")
hopper_mutant("a skipped step runs" "if (step.slot < 0) return;" "")

# --- the compensation of the embedding ---
mutant("rows are written while they are read" compensate.cu compensate compensate "  __syncthreads();  // y is read by all before any of it is written\n" "")
mutant("a warp's products overwrite the next one's" compensate.cu compensate compensate "t[j] = product" "t[j / 2] = product")
mutant("the last rank is left out" compensate.cu compensate compensate "int j = 0; j < rank" "int j = 0; j + 1 < rank")

# --- attention ---
mutant("no barrier before keys are read" attention.cu attention attention "    __syncthreads();\n    if (key ==" "    if (key ==")
mutant("keys are not waited for" attention.cu attention attention "    cp_async_wait<0>();\n    __syncthreads();" "    __syncthreads();")
mutant("the next keys overwrite these" attention.cu attention attention "buffer ^ 1, key + L::kKeys" "buffer, key + L::kKeys")
mutant("V is not transposed" attention.cu attention attention "ldmatrix_x4_trans(v" "ldmatrix_x4(v")
mutant("hidden keys are seen" attention.cu attention attention "seen = index >= 0 ?" "seen = true ?")
mutant("the distance has the wrong sign" attention.cu attention attention "index - queries[r]" "queries[r] - index")
mutant("the maximum of half the threads" attention.cu attention attention
  "    max = fmaxf(max, __shfl_xor_sync(0xffffffffu, max, 2));\n" "")
mutant("the result is not rescaled" attention.cu attention attention "o[d][2 * r] *= rescale, o[d][2 * r + 1] *= rescale;" "")
mutant("the farthest distance has no bias" attention.cu attention attention "d < 2 * span + 1; d +=" "d < 2 * span; d +=")
mutant("distances are not clamped" attention.cu attention attention
  "distance < -span ? -span : distance > span ? span : distance" "distance")
mutant("a query without visible keys does not get the mean" attention.cu attention attention "queries[r] == kUniform ? uniform : seen" "seen")
mutant("keys past the end weigh where all are equal" attention.cu attention attention
  "uniform = key < keys_left ? 0.0f : kNever" "uniform = 0")
mutant("rows past the end are stored" attention.cu attention attention "if (row < head.length) {" "{")
mutant("a query that sees no key is divided by zero" attention.cu attention attention "l[r] == 0 ? 0.0f : 1.0f / l[r]" "1.0f / l[r]")
mutant("the mean of the keys in reach alone" attention.cu attention attention "mean ? Tiles(head.length) : Tiles(slot.reach, first_query, head.length)" "Tiles(slot.reach, first_query, head.length)")
mutant("all queries of a sequence get the mean" attention.cu attention attention "(unseeing[row] & kSeesNone) != 0" "true")
mutant("keys out of reach are seen" attention.cu attention attention "bucket == kOutOfReach ? kNever :" "")
mutant("the first distance for every sub-block" attention.cu attention attention "slot.reach.distance * (2 * span + 1)" "0")
mutant("the first distance's queries that see no key" attention.cu attention attention "a.rows.unseeing + slot.reach.distance * a.rows.tokens" "a.rows.unseeing")
mutant("a tile too many is left out before" attention.cu attention attention "(query - reach.back) / kKeys;" "(query - reach.back) / kKeys + 1;")
mutant("a tile too many is left out after" attention.cu attention attention "reach.ahead) / kKeys + 1;" "reach.ahead) / kKeys;")
mutant("keys' heads are dealt out in turns" attention.cu attention attention "h / (heads / key_heads)" "h % key_heads")
mutant("the rest of a narrow head is what lies beside it" attention.cu attention attention " && chunk * 8 < head.width" "")
mutant("columns of the next head are stored" attention.cu attention attention "if (d * 8 < head.width) to" "to")
mutant("logits are scaled before and after the cap" attention.cu attention attention "softcap > 0 ? 1.0f : scale" "scale")
mutant("the window is open" attention.cu attention attention " && distance >= -back" "")

# --- heads of q and k ---
mutant("the other order of pairs" heads.cu heads heads "t.interleaved ? 2 * j : j" "t.interleaved ? j : j")
mutant("turned the other way" heads.cu heads heads "first * cosine - second * sine" "first * cosine + second * sine")
mutant("the first rope for every sub-block" heads.cu heads heads "(t.rope < 0 ? 0 : t.rope)" "(0)")
mutant("keys are stretched too" heads.cu heads heads "query && t.rope >= 0" "t.rope >= 0")
mutant("the norm of q for k" heads.cu heads heads "query ? slot.q_norm : slot.k_norm" "slot.q_norm")
mutant("values are turned too" heads.cu heads heads "h >= a.heads.heads + a.heads.key_heads)" "h >= a.heads.heads + 2 * a.heads.key_heads)")
mutant("the rest of a head is left out" heads.cu heads heads "int c = 2 * t.pairs + lane; c < head_dim" "int c = 2 * t.pairs + lane; c < 0")

if(survivors)
  message(FATAL_ERROR "not caught:${survivors}")
endif()
message("all ${count} caught")

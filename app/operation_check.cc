#include "app/operation_check.h"

#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "kernels/draw.h"

namespace uhd {
namespace {

// One backend with the inputs and results of one operation. Inputs are the same numbers on every backend:
// values that bfloat16 holds exactly.
class Run {
 public:
  explicit Run(Backend& backend) : backend_(backend), random_(7) {}

  Backend* operator->() const { return &backend_; }

  // Activations.
  Tensor input(Shape shape, float scale = 1.0f) {
    return put(numbers(shape, scale), shape, backend_.activation_dtype());
  }
  // Parameters: f32 on every backend.
  Tensor parameter(Shape shape) { return put(numbers(shape, 1.0f), shape, DType::f32); }
  Tensor room(Shape shape) { return input(shape, 0.0f); }
  Tensor room(Shape shape, DType dtype) { return put(numbers(shape, 0.0f), shape, dtype); }
  Tensor index(const std::vector<int32_t>& values) {
    const Shape shape{static_cast<int64_t>(values.size())};
    return upload(Tensor::of(values.data(), shape));
  }
  Tensor bytes(int64_t count) {
    std::vector<uint8_t> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<uint8_t>(random_()));
    return upload(Tensor::of(values.data(), {count}));
  }
  Weight weight(int64_t n, int64_t k, WeightFormat format) {
    const std::vector<float> values = numbers({n, k}, 0.3f);
    return backend_.pack(Tensor::of(values.data(), {n, k}), format);
  }

  void result(Tensor x) {
    std::vector<std::byte> host(x.bytes());
    backend_.download(Tensor(host.data(), x.dtype(), x.shape()), x);
    for (int64_t i = 0; i < x.elements(); ++i) results_.push_back(value(host.data(), x.dtype(), i));
  }
  const std::vector<double>& results() const { return results_; }

 private:
  std::vector<float> numbers(Shape shape, float scale) {
    std::normal_distribution<float> normal;
    std::vector<float> values;
    for (int64_t i = 0; i < shape.elements(); ++i)
      values.push_back(static_cast<float>(bf16(scale * normal(random_))));
    return values;
  }
  Tensor put(const std::vector<float>& values, Shape shape, DType dtype) {
    if (dtype == DType::f32) return upload(Tensor::of(values.data(), shape));
    if (dtype == DType::i32) return upload(Tensor::of(std::vector<int32_t>(values.size()).data(), shape));
    const std::vector<bf16> rounded(values.begin(), values.end());
    return upload(Tensor::of(rounded.data(), shape));
  }
  Tensor upload(Tensor host) {
    held_.push_back(backend_.allocate(host.bytes()));
    const Tensor device = held_.back().as(host.dtype(), host.shape());
    backend_.upload(device, host);
    return device;
  }
  static double value(const std::byte* data, DType dtype, int64_t i) {
    if (dtype == DType::f32) return reinterpret_cast<const float*>(data)[i];
    if (dtype == DType::i32) return reinterpret_cast<const int32_t*>(data)[i];
    return static_cast<double>(static_cast<float>(reinterpret_cast<const bf16*>(data)[i]));
  }

  Backend& backend_;
  std::mt19937 random_;
  std::vector<DeviceBuffer> held_;
  std::vector<double> results_;
};

using Operation = std::function<void(Run&)>;
struct Named {
  const char* name;
  Operation run;
};

Operation matmul(WeightFormat compute, Epilogue epilogue, bool bias) {
  return [=](Run& run) {
    const Tensor x = run.input({5, 72}), out = run.input({5, 40});
    run->matmul(out, x, run.weight(40, 72, compute),
                {.bias = bias ? run.parameter({40}) : Tensor(), .epilogue = epilogue});
    run.result(out);
  };
}

// Two sequences: a prefill of 5 tokens after 60, and a decode at 70, on pages of 64.
void paged_attention(Run& run, DType kv) {
  constexpr int64_t kPages = 4, kPage = 64, kHeads = 2, kSize = 64;
  const Tensor k = run.room({kPages, kPage, kHeads, kSize}, kv),
               v = run.room({kPages, kPage, kHeads, kSize}, kv);
  std::vector<int32_t> slots;
  slots.reserve(65 + 70);
  for (int32_t i = 0; i < 65; ++i) slots.push_back(i < 64 ? 2 * 64 + i : i - 64);
  for (int32_t i = 0; i < 70; ++i) slots.push_back(i < 64 ? 64 + i : 3 * 64 + i - 64);
  const auto tokens = static_cast<int64_t>(slots.size());
  run->store_kv({k, v}, run.input({tokens, kHeads, kSize}), run.input({tokens, kHeads, kSize}),
                run.index(slots));
  const Tensor q = run.input({6, 4, kSize}), out = run.room({6, 4, kSize});
  const PagedSpans spans{run.index({0, 5, 6}), run.index({65, 70}), run.index({2, 0, 1, 3}).reshaped({2, 2}),
                         5, 70};
  run->paged_attention(out, q, {k, v}, spans, 0.125f);
  run.result(out);
  run->copy_pages({k, v}, run.index({2, 3}), run.index({1, 0}));
  run->paged_attention(out, q, {k, v}, spans, 0.125f);
  run.result(out);
}

void packed_attention(Run& run) {
  const Tensor q = run.input({10, 2, 64}), k = run.input({21, 2, 64}), v = run.input({21, 2, 64});
  const Tensor out = run.room({10, 2, 64});
  run->packed_attention(out, q, k, v, run.index({0, 3, 10}), run.index({0, 17, 21}), 7, 17, 0.125f);
  run.result(out);
}

void select(Run& run) {
  const Tensor logits = run.parameter({3, 301});
  const Tensor ids = run.room({3}, DType::i32), values = run.room({3}, DType::f32);
  run->argmax(ids, values, logits);
  run.result(ids);
  run.result(values);
  const Tensor drawn = run.room({3}, DType::i32), tokens = run.index({5, 6, 7, 8});
  run->best_of_shards(drawn, ids.reshaped({1, 3}), values.reshaped({1, 3}), 301, 301);
  run->take_drawn(tokens, drawn, run.index({2, -1, 0, 1}));
  run.result(tokens);
}

void mask(Run& run) {
  const Tensor logits = run.parameter({3, 40});
  run->mask_logits(logits, run.index({2, 0}), run.index({0x0f0f0f0f, 3, -1, 1}).reshaped({2, 2}), 24);
  const Tensor ids = run.room({3}, DType::i32), values = run.room({3}, DType::f32);
  run->argmax(ids, values, logits);
  run.result(ids);
}

void draw(Run& run) {
  const Tensor logits = run.parameter({2, 3, 200});
  std::vector<int32_t> words;
  for (const Draw& how : {make_draw(1.0f, 0, 1.0f, 0.0f, uint64_t{5} << 60),
                          make_draw(0.7f, 50, 0.9f, 0.05f, uint64_t{9} << 60), Draw{}}) {
    const auto* own = reinterpret_cast<const int32_t*>(&how);
    words.insert(words.end(), own, own + kDrawWords);
  }
  const Tensor ids = run.room({3}, DType::i32);
  run->draw(ids, logits, 390, run.index(words).reshaped({3, kDrawWords}));
  run.result(ids);
}

std::vector<Named> operations(WeightFormat compute) {
  const DType kv = compute == WeightFormat::f32 ? DType::f32 : DType::bf16;
  // out = operation(x, …) of rows.
  const auto rows = [](auto act) {
    return [act](Run& run) {
      const Tensor out = run.room({7, 96});
      act(run, out, run.input({7, 96}));
      run.result(out);
    };
  };
  return {
      {"matmul", matmul(compute, Epilogue::none, false)},
      {"matmul, bias", matmul(compute, Epilogue::none, true)},
      {"matmul, gelu", matmul(compute, Epilogue::gelu, true)},
      {"matmul, gelu_tanh", matmul(compute, Epilogue::gelu_tanh, true)},
      {"matmul, quick_gelu", matmul(compute, Epilogue::quick_gelu, true)},
      {"matmul, add", matmul(compute, Epilogue::add, true)},
      {"matmul of fp8", matmul(WeightFormat::fp8, Epilogue::none, true)},
      {"matmul of int8", matmul(WeightFormat::int8, Epilogue::none, true)},
      {"matmul of int4", matmul(WeightFormat::int4, Epilogue::none, true)},
      {"embed", rows([](Run& run, Tensor out, Tensor) {
         run->embed(out, run.parameter({11, 96}), run.index({3, 4, 13, 8, 2, 12, 3}), 3);
       })},
      {"rms_norm",
       rows([](Run& run, Tensor out, Tensor x) { run->rms_norm(out, x, run.parameter({96}), 1e-5f); })},
      {"add_rms_norm", rows([](Run& run, Tensor out, Tensor x) {
         const Tensor residual = run.input({7, 96});
         run->add_rms_norm(residual, x, run.parameter({96}), out, 1e-5f);
         run.result(residual);
       })},
      {"layer_norm", rows([](Run& run, Tensor out, Tensor x) {
         run->layer_norm(out, x, run.parameter({96}), run.parameter({96}), 1e-5f);
       })},
      {"head_norm",
       [](Run& run) {
         const Tensor q = run.input({3, 4, 16}), k = run.input({3, 2, 16});
         run->head_norm(q, k, run.parameter({16}), run.parameter({16}), 1e-5f);
         run.result(q);
         run.result(k);
       }},
      {"rope",
       [](Run& run) {
         const Tensor q = run.input({3, 4, 16}), k = run.input({3, 2, 16});
         run->rope(q, k, run.index({0, 5, 8}), run.parameter({9, 2, 8}));
         run.result(q);
         run.result(k);
       }},
      {"store_kv, paged_attention, copy_pages", [kv](Run& run) { paged_attention(run, kv); }},
      {"packed_attention", packed_attention},
      {"silu_mul",
       [](Run& run) {
         const Tensor out = run.room({5, 40});
         run->silu_mul(out, run.input({5, 80}));
         run.result(out);
       }},
      {"add", rows([](Run& run, Tensor out, Tensor x) {
         run->add(out, x, run.input({1, 96}));
       })},
      {"add_rows", rows([](Run& run, Tensor out, Tensor x) {
         run->add_rows(x, run.input({4, 96}), run.index({0, 3, 1, 1, 2, 0, 3}));
         run->cast(out, x);
       })},
      {"gather_rows", rows([](Run& run, Tensor out, Tensor x) {
         run->gather_rows(out, x, run.index({6, 0, 0, 3, 2, 5, 1}));
       })},
      {"scatter_rows", rows([](Run& run, Tensor out, Tensor x) {
         run->scatter_rows(out, x, run.index({6, 0, 1, 3, 2, 5, 4}));
       })},
      {"patchify",
       [](Run& run) {
         const std::vector<PixelSlice> slices{{0, 28, 14}, {3 * 28 * 14, 14, 42}};
         const Tensor out = run.room({5, 3 * 14 * 14});
         const PatchNormalisation normalisation{{0.5f, 0.4f, 0.3f}, {0.2f, 0.25f, 0.3f}};
         run->patchify(out, run.bytes(int64_t{3} * (28 * 14 + 14 * 42)), slices, 14, normalisation);
         run.result(out);
       }},
      {"interpolate_positions",
       [](Run& run) {
         const Tensor out = run.room({5 * 3, 24});
         run->interpolate_positions(out, run.input({16, 24}), 5, 3);
         run.result(out);
       }},
      {"region_align",
       [](Run& run) {
         const std::vector<AlignGrid> grids{{0, 5, 6, 0, 3, 3, 2, 1}};
         const Tensor out = run.room({18, 24});
         run->region_align(out, run.input({30, 24}), grids);
         run.result(out);
       }},
      {"argmax, best_of_shards, take_drawn", select},
      {"finite_rows",
       [](Run& run) {
         const Tensor flags = run.room({7}, DType::i32);
         run->finite_rows(flags, run.input({7, 96}));
         run.result(flags);
       }},
      {"mask_logits", mask},
      {"draw", draw},
  };
}

double largest_error(const std::vector<double>& got, const std::vector<double>& want) {
  double worst = got.size() == want.size() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < got.size() && i < want.size(); ++i) {
    const double error = std::abs(got[i] - want[i]) / (1 + std::abs(want[i]));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

}  // namespace

std::vector<OperationCheck> check_operations(Backend& backend, Backend& reference, WeightFormat compute) {
  const bool rounds = compute == WeightFormat::bf16;
  std::vector<OperationCheck> checks;
  for (const Named& operation : operations(compute)) {
    OperationCheck check{operation.name, 0, rounds ? 2e-2 : 1e-4, ""};
    try {
      Run own(backend), right(reference);
      operation.run(own);
      operation.run(right);
      check.error = largest_error(own.results(), right.results());
    } catch (const Error& e) {
      check.failure = e.what();
    }
    checks.push_back(std::move(check));
  }
  return checks;
}

}  // namespace uhd

// Usage: uhd_bench_kernels [--backend cpu|cuda] [--threads N] [--isa NAME] [--only
// matmul|attention|rows|models]. It times the operations beside the roofs: on the CPU the machine's, measured
// in the same run; on a GPU those of its data sheet (plan/operation_cost.h). A share is the time that the
// roofs allow, the larger of operations by peak and bytes by bandwidth, over the time taken.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "bench/roofs.h"
#include "kernels/backend.h"
#include "kernels/cpu/isa.h"
#include "plan/operation_cost.h"

namespace uhd {
namespace {

struct Options {
  std::string backend = "cpu";
  int threads = 1;
  std::string isa = "auto";
  std::string only;
};

std::vector<std::byte> noise(DType dtype, const Shape& shape) {
  std::vector<std::byte> bytes(static_cast<size_t>(shape.elements()) * size_of(dtype));
  uint32_t seed = 1;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    seed = seed * 1664525u + 1013904223u;
    const float value = static_cast<float>(seed >> 8) / 8388608.0f - 1.0f;
    if (dtype == DType::f32)
      reinterpret_cast<float*>(bytes.data())[i] = value;
    else
      reinterpret_cast<bf16*>(bytes.data())[i] = bf16(value);
  }
  return bytes;
}

// Holds an operation's inputs and outputs, filled once with small values, or with the indices given.
class Buffer {
 public:
  Buffer(Backend& backend, DType dtype, Shape shape) : Buffer(backend, dtype, shape, noise(dtype, shape)) {}
  Buffer(Backend& backend, const std::vector<int32_t>& indices, Shape shape)
      : Buffer(backend, DType::i32, shape, bytes_of(indices)) {}
  operator Tensor() const { return tensor_; }  // NOLINT(google-explicit-constructor)

 private:
  Buffer(Backend& backend, DType dtype, Shape shape, std::vector<std::byte> host)
      : memory_(backend.allocate(host.size())), tensor_(memory_.as(dtype, shape)) {
    backend.upload(tensor_, Tensor(host.data(), dtype, shape));
  }
  static std::vector<std::byte> bytes_of(const std::vector<int32_t>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(int32_t));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }

  DeviceBuffer memory_;
  Tensor tensor_;
};

const DeviceRoof& device_of(const std::string& description) {
  for (const DeviceRoof& d : known_devices())
    if (description.find(d.name) != std::string::npos) return d;
  throw Error("no data sheet of this device is known: " + description);
}

class Bench {
 public:
  explicit Bench(const Options& o)
      : options_(o),
        backend_(make_backend({.kind = o.backend, .threads = o.threads, .isa = o.isa})),
        activations_(backend_->activation_dtype()) {
    if (backend_->host_memory()) {
      ThreadPool pool(o.threads);
      roofs_ = measure_roofs(pool, cpu::choose_table(o.isa).name);
    } else {
      const DeviceRoof& device = device_of(backend_->description());
      roofs_ = {.read_bytes = device.memory_speed, .bf16_flops = device.bf16_flops};
    }
    std::printf("%s\nroofs: read %.1f GB/s, bf16 %.0f GFLOP/s, f32 %.0f GFLOP/s\n",
                backend_->description().c_str(), roofs_.read_bytes * 1e-9, roofs_.bf16_flops * 1e-9,
                roofs_.f32_flops * 1e-9);
  }

  void matmuls() {
    for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::f32}) {
      if (format == WeightFormat::f32 && roofs_.f32_flops == 0) continue;
      std::printf("\nmatmul %s, share of the roof in %%, weights cold\n%14s", name(format), "N x K");
      const std::vector<int64_t> rows = {1, 2, 4, 8, 16, 32, 64, 256, 576};
      for (const int64_t m : rows) std::printf("  M=%-4ld", m);
      std::printf("\n");
      for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{
               {2048, 2048}, {5632, 2048}, {2048, 5632}, {1024, 1024}, {4096, 1024}, {1024, 4096}}) {
        std::printf("%7ld x %4ld", n, k);
        const std::vector<Weight> weights = copies(n, k, format);
        for (const int64_t m : rows) std::printf("%8.0f", 100 * matmul_share(weights, m, format));
        std::printf("\n");
        std::fflush(stdout);
      }
    }
  }

  void attentions() {
    std::printf("\nattention, share of the roof in %%\n");
    for (const auto& [patches, d] :
         std::vector<std::pair<int64_t, int64_t>>{{576, 64}, {1024, 64}, {1024, 72}}) {
      const double t = packed_attention_seconds(patches, 16, d);
      const double flops = 4.0 * static_cast<double>(patches) * patches * 16 * d;
      std::printf("packed %4ld tokens, 16 heads of %3ld: %7.2f ms %4.0f\n", patches, d, t * 1e3,
                  100 * roof(flops, 0, WeightFormat::bf16) / t);
    }
    for (const int64_t page : {16, 64}) {
      for (const auto& [heads, kv_heads, d, length] :
           std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t>>{
               {32, 4, 64, 2048}, {32, 32, 128, 2048}, {32, 8, 128, 8192}, {8, 1, 128, 8192}}) {
        const double bytes = 4.0 * static_cast<double>(kv_heads * d * length);
        const double t = paged_attention_seconds(heads, kv_heads, d, length, page, 1);
        std::printf("decode, %2ld/%2ld heads of %3ld, %4ld tokens in pages of %2ld: %7.2f ms %4.0f\n", heads,
                    kv_heads, d, length, page, t * 1e3, 100 * bytes / roofs_.read_bytes / t);
      }
    }
    const double t = paged_attention_seconds(32, 8, 128, 2048, 64, 512);
    const double flops = 4.0 * 32 * 128 * 512.0 * (2048 - 256);
    std::printf("prefill of the last 512 of 2048 tokens, 32/8 heads of 128: %7.2f ms %4.0f\n", t * 1e3,
                100 * roof(flops, 0, WeightFormat::bf16) / t);
    std::fflush(stdout);
  }

  void rows() {
    std::printf("\nrow operations on 576 rows in cache, ns a row\n");
    const Buffer x(*backend_, activations_, {576, 1024});
    const Buffer wide(*backend_, activations_, {576, 8192});
    const Buffer narrow(*backend_, activations_, {576, 4096});
    const Buffer out(*backend_, activations_, {576, 1024});
    const Buffer w(*backend_, DType::f32, {1024});
    const auto line = [&](const char* what, double t) { std::printf("%-24s %8.0f\n", what, t / 576 * 1e9); };
    line("layer_norm 1024", time([&] { backend_->layer_norm(out, x, w, w, 1e-5f); }));
    line("rms_norm 1024", time([&] { backend_->rms_norm(out, x, w, 1e-5f); }));
    line("add 1024", time([&] { backend_->add(out, out, x); }));
    line("silu_mul 4096", time([&] { backend_->silu_mul(narrow, wide); }));
  }

  // One token of a 1.1 billion Llama (22 layers of 2048) and one tile of CLIP ViT-L/14 (24 layers of 1024),
  // by layers that are repeated until they no longer fit the cache.
  void models() {
    std::printf("\nwhole steps, share of the roof in %%\n");
    for (const int64_t batch : {1, 4}) {
      double allowed = 0;
      const double t = decode_seconds(batch, 512, &allowed);
      std::printf("decode step, Llama 1.1B, %ld sequences of 512 tokens: %8.2f ms %4.0f\n", batch, t * 1e3,
                  100 * allowed / t);
    }
    double allowed = 0;
    const double t = encoder_seconds(&allowed);
    std::printf("encoder tile, ViT-L/14, 576 patches: %8.2f ms %4.0f\n", t * 1e3, 100 * allowed / t);
  }

 private:
  static const char* name(WeightFormat f) { return f == WeightFormat::f32 ? "f32" : "bf16"; }

  double time(const std::function<void()>& call) const {
    if (backend_->host_memory()) return best_seconds(options_.threads, call);
    // Calls are queued, so that the device does not wait for the host between them.
    constexpr int kQueued = 20, kWall = 2;
    return best_seconds(kWall,
                        [&] {
                          for (int i = 0; i < kQueued; ++i) call();
                          backend_->synchronize();
                        }) /
           kQueued;
  }
  Buffer indices(const std::vector<int32_t>& values) {
    return Buffer(*backend_, values, {static_cast<int64_t>(values.size())});
  }

  double roof(double flops, double bytes, WeightFormat format) const {
    const double peak =
        format == WeightFormat::bf16 && roofs_.bf16_flops > 0 ? roofs_.bf16_flops : roofs_.f32_flops;
    return std::max(flops / peak, bytes / roofs_.read_bytes);
  }
  static double weight_bytes(const Weight& w) {
    return static_cast<double>(w.n * w.k) * (w.format == WeightFormat::f32 ? 4 : 2);
  }
  double matmul_roof(const Weight& w, int64_t m) const {
    return roof(2.0 * static_cast<double>(m * w.n * w.k), weight_bytes(w), w.format);
  }

  Weight pack(int64_t n, int64_t k, WeightFormat format) {
    const std::vector<std::byte> host = noise(DType::bf16, {n, k});
    return backend_->pack(Tensor(const_cast<std::byte*>(host.data()), DType::bf16, {n, k}), format);
  }
  std::vector<Weight> copies(int64_t n, int64_t k, WeightFormat format) {
    std::vector<Weight> weights;
    weights.push_back(pack(n, k, format));
    while (weight_bytes(weights[0]) * static_cast<double>(weights.size()) < 160e6)
      weights.push_back(pack(n, k, format));
    return weights;
  }

  double matmul_share(const std::vector<Weight>& weights, int64_t m, WeightFormat) {
    const Weight& w = weights[0];
    const Buffer x(*backend_, activations_, {m, w.k});
    const Buffer out(*backend_, activations_, {m, w.n});
    size_t next = 0;
    const double t = time([&] { backend_->matmul(out, x, weights[next++ % weights.size()]); });
    return matmul_roof(w, m) / t;
  }

  double packed_attention_seconds(int64_t patches, int64_t heads, int64_t d) {
    const Buffer qkv(*backend_, activations_, {patches, 3 * heads * d});
    const Buffer out(*backend_, activations_, {patches, heads, d});
    const auto part = [&](int64_t i) {
      return Tensor(qkv).slice_columns(i * heads * d, heads * d).reshaped({patches, heads, d});
    };
    const Buffer at = indices({0, static_cast<int32_t>(patches)});
    return time([&] {
      backend_->packed_attention(out, part(0), part(1), part(2), at, at, static_cast<int>(patches),
                                 static_cast<int>(patches), 0.1f);
    });
  }

  double paged_attention_seconds(int64_t heads, int64_t kv_heads, int64_t d, int64_t length, int64_t page,
                                 int64_t q) {
    const int64_t pages = length / page;
    const Buffer qs(*backend_, activations_, {q, heads, d});
    const Buffer out(*backend_, activations_, {q, heads, d});
    // Copies of the cache, so that pages come from memory.
    std::vector<Buffer> caches;
    const double bytes = 4.0 * static_cast<double>(length * kv_heads * d);
    for (double sum = 0; sum < 80e6; sum += bytes)
      for (int i = 0; i < 2; ++i)
        caches.emplace_back(*backend_, DType::bf16, Shape{pages, page, kv_heads, d});
    std::vector<int32_t> table(static_cast<size_t>(pages));
    for (int64_t i = 0; i < pages; ++i) table[i] = static_cast<int32_t>((i * 7 + 3) % pages);
    const Buffer q_at = indices({0, static_cast<int32_t>(q)}),
                 lengths = indices({static_cast<int32_t>(length)});
    const Buffer pages_of(*backend_, table, {1, pages});
    const PagedSpans spans{q_at, lengths, pages_of, static_cast<int>(q), static_cast<int>(length)};
    size_t next = 0;
    return time([&] {
      const size_t i = next++ % (caches.size() / 2);
      backend_->paged_attention(out, qs, {caches[2 * i], caches[2 * i + 1]}, spans, 0.1f);
    });
  }

  double decode_seconds(int64_t batch, int64_t length, double* allowed) {
    constexpr int64_t kHidden = 2048, kHeads = 32, kKvHeads = 4, kD = 64, kWidth = 5632, kVocabulary = 32000;
    constexpr int kLayers = 3, kOf = 22;
    struct Layer {
      Weight qkv, out, gate_up, down;
      Buffer k, v;
    };
    const int64_t pages = (length / 64) * batch;
    std::vector<Layer> layers;
    layers.reserve(kLayers);
    for (int i = 0; i < kLayers; ++i)
      layers.push_back({pack((kHeads + 2 * kKvHeads) * kD, kHidden, WeightFormat::bf16),
                        pack(kHidden, kHidden, WeightFormat::bf16),
                        pack(2 * kWidth, kHidden, WeightFormat::bf16),
                        pack(kHidden, kWidth, WeightFormat::bf16),
                        Buffer(*backend_, DType::bf16, {pages, 64, kKvHeads, kD}),
                        Buffer(*backend_, DType::bf16, {pages, 64, kKvHeads, kD})});
    const Weight head = pack(kVocabulary, kHidden, WeightFormat::bf16);
    const Buffer x(*backend_, activations_, {batch, kHidden});
    const Buffer residual(*backend_, activations_, {batch, kHidden});
    const Buffer norm(*backend_, DType::f32, {kHidden});
    const Buffer qkv(*backend_, activations_, {batch, (kHeads + 2 * kKvHeads) * kD});
    const Buffer attended(*backend_, activations_, {batch, kHeads, kD});
    const Buffer gate_up(*backend_, activations_, {batch, 2 * kWidth});
    const Buffer mlp(*backend_, activations_, {batch, kWidth});
    const Buffer logits(*backend_, DType::f32, {batch, kVocabulary});
    const Buffer rope(*backend_, DType::f32, {length, 2, kD / 2});
    std::vector<int32_t> positions, slots, q_at = {0}, lengths, table;
    positions.reserve(static_cast<size_t>(batch));
    for (int32_t s = 0; s < batch; ++s) {
      positions.push_back(static_cast<int32_t>(length - 1));
      q_at.push_back(s + 1);
      lengths.push_back(static_cast<int32_t>(length));
      for (int32_t p = 0; p < length / 64; ++p) table.push_back(static_cast<int32_t>(s * (length / 64) + p));
      slots.push_back(table.back() * 64 + 63);
    }
    const Buffer at = indices(positions), into = indices(slots), rows = indices(q_at),
                 keys = indices(lengths);
    const Buffer ids(*backend_, std::vector<int32_t>(static_cast<size_t>(batch)), {batch});
    const Buffer pages_of(*backend_, table, {batch, length / 64});
    const PagedSpans spans{rows, keys, pages_of, 1, static_cast<int>(length)};
    const auto heads = [&](int64_t first, int64_t count) {
      return Tensor(qkv).slice_columns(first * kD, count * kD).reshaped({batch, count, kD});
    };
    const Buffer values(*backend_, DType::f32, {batch});
    const auto body = [&] {
      for (const Layer& l : layers) {
        backend_->add_rms_norm(residual, x, norm, x, 1e-5f);
        backend_->matmul(qkv, x, l.qkv);
        backend_->rope(heads(0, kHeads), heads(kHeads, kKvHeads), at, rope);
        backend_->store_kv({l.k, l.v}, heads(kHeads, kKvHeads), heads(kHeads + kKvHeads, kKvHeads), into);
        backend_->paged_attention(attended, heads(0, kHeads), {l.k, l.v}, spans, 0.125f);
        backend_->matmul(x, Tensor(attended).reshaped({batch, kHidden}), l.out);
        backend_->add_rms_norm(residual, x, norm, x, 1e-5f);
        backend_->matmul(gate_up, x, l.gate_up);
        backend_->silu_mul(mlp, gate_up);
        backend_->matmul(x, mlp, l.down);
      }
    };
    const double layer = time(body) / kLayers;
    const double last = time([&] {
      backend_->add_rms_norm(residual, x, norm, x, 1e-5f);
      backend_->matmul(logits, x, head);
      backend_->argmax(ids, values, logits);
    });
    const Layer& l = layers[0];
    const double kv_bytes = 4.0 * static_cast<double>(batch * length * kKvHeads * kD);
    *allowed = kOf * (matmul_roof(l.qkv, batch) + matmul_roof(l.out, batch) + matmul_roof(l.gate_up, batch) +
                      matmul_roof(l.down, batch) + kv_bytes / roofs_.read_bytes) +
               matmul_roof(head, batch);
    return layer * kOf + last;
  }

  double encoder_seconds(double* allowed) {
    constexpr int64_t kPatches = 576, kHidden = 1024, kHeads = 16, kD = 64;
    constexpr int kLayers = 3, kOf = 24;
    struct Layer {
      Weight qkv, out, up, down;
    };
    std::vector<Layer> layers;
    layers.reserve(kLayers);
    for (int i = 0; i < kLayers; ++i)
      layers.push_back(
          {pack(3 * kHidden, kHidden, WeightFormat::bf16), pack(kHidden, kHidden, WeightFormat::bf16),
           pack(4 * kHidden, kHidden, WeightFormat::bf16), pack(kHidden, 4 * kHidden, WeightFormat::bf16)});
    const Buffer x(*backend_, activations_, {kPatches, kHidden});
    const Buffer normed(*backend_, activations_, {kPatches, kHidden});
    const Buffer qkv(*backend_, activations_, {kPatches, 3 * kHidden});
    const Buffer attended(*backend_, activations_, {kPatches, kHeads, kD});
    const Buffer mlp(*backend_, activations_, {kPatches, 4 * kHidden});
    const Buffer w(*backend_, DType::f32, {4 * kHidden});
    const Tensor w1 = Tensor(w).slice_rows(0, kHidden);
    const Tensor w3 = Tensor(w).slice_rows(0, 3 * kHidden);
    const Buffer at = indices({0, static_cast<int32_t>(kPatches)});
    const auto part = [&](int64_t i) {
      return Tensor(qkv).slice_columns(i * kHidden, kHidden).reshaped({kPatches, kHeads, kD});
    };
    const double t = time([&] {
      for (const Layer& l : layers) {
        backend_->layer_norm(normed, x, w1, w1, 1e-5f);
        backend_->matmul(qkv, normed, l.qkv, {.bias = w3});
        backend_->packed_attention(attended, part(0), part(1), part(2), at, at, kPatches, kPatches, 0.125f);
        backend_->matmul(x, Tensor(attended).reshaped({kPatches, kHidden}), l.out,
                         {.bias = w1, .epilogue = Epilogue::add});
        backend_->layer_norm(normed, x, w1, w1, 1e-5f);
        backend_->matmul(mlp, normed, l.up, {.bias = w, .epilogue = Epilogue::quick_gelu});
        backend_->matmul(x, mlp, l.down, {.bias = w1, .epilogue = Epilogue::add});
      }
    });
    const Layer& l = layers[0];
    const double attention = 4.0 * kPatches * kPatches * kHidden;
    *allowed =
        kOf * (matmul_roof(l.qkv, kPatches) + matmul_roof(l.out, kPatches) + matmul_roof(l.up, kPatches) +
               matmul_roof(l.down, kPatches) + roof(attention, 0, WeightFormat::bf16));
    return t / kLayers * kOf;
  }

  Options options_;
  std::unique_ptr<Backend> backend_;
  DType activations_;
  Roofs roofs_;
};

int run(int count, char** arguments) {
  Options o;
  for (int i = 1; i + 1 < count; i += 2) {
    if (std::strcmp(arguments[i], "--backend") == 0) o.backend = arguments[i + 1];
    if (std::strcmp(arguments[i], "--threads") == 0) o.threads = std::max(1, std::atoi(arguments[i + 1]));
    if (std::strcmp(arguments[i], "--isa") == 0) o.isa = arguments[i + 1];
    if (std::strcmp(arguments[i], "--only") == 0) o.only = arguments[i + 1];
  }
  Bench bench(o);
  if (o.only.empty() || o.only == "models") bench.models();
  if (o.only.empty() || o.only == "attention") bench.attentions();
  if (o.only.empty() || o.only == "rows") bench.rows();
  if (o.only.empty() || o.only == "matmul") bench.matmuls();
  return 0;
}

}  // namespace
}  // namespace uhd

int main(int count, char** arguments) {
  try {
    return uhd::run(count, arguments);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

#include "tests/kernels/device_mirror.h"

#include <cstring>
#include <list>
#include <vector>

namespace uhd {

// The device copies of one operation's tensors.
class DeviceMirror::Call {
 public:
  explicit Call(DeviceMirror& mirror) : mirror_(mirror) {}

  // A parameter, index or anything whose type stays.
  Tensor as_is(Tensor host) { return copy(host, host.dtype()); }
  // f32 on the host, the backend's type on the device.
  Tensor activation(Tensor host) {
    return copy(host, host.dtype() == DType::f32 ? mirror_.activation_dtype() : host.dtype());
  }

  void bring_back() {
    for (const Copy& c : copies_) {
      if (c.elements == 0) continue;
      const DType type = c.device.dtype();
      std::vector<std::byte> bytes(static_cast<size_t>(c.elements) * size_of(type));
      const Tensor flat(c.device.raw(), type, {c.elements});
      mirror_.backend_->download(Tensor(bytes.data(), type, {c.elements}), flat);
      convert(c.host.raw(), c.host.dtype(), bytes.data(), type, c.elements);
    }
  }

 private:
  struct Copy {
    Tensor host, device;
    int64_t elements;
    DeviceBuffer memory;
  };

  Tensor copy(Tensor host, DType type) {
    if (host.empty() || mirror_.is_own(host))
      return Tensor(host.raw(), host.empty() ? type : host.dtype(), host.shape(), host.row_stride());
    for (const Copy& c : copies_)
      if (c.host.raw() == host.raw() && c.host.shape() == host.shape()) return c.device;
    const int64_t elements = host.rows() == 0 ? 0 : (host.rows() - 1) * host.row_stride() + host.row_size();
    Copy c{host, {}, elements, mirror_.backend_->allocate(static_cast<size_t>(elements) * size_of(type))};
    c.device = Tensor(c.memory.data(), type, host.shape(), host.row_stride());
    if (elements > 0) {
      std::vector<std::byte> bytes(static_cast<size_t>(elements) * size_of(type));
      convert(bytes.data(), type, host.raw(), host.dtype(), elements);
      mirror_.backend_->upload(Tensor(c.memory.data(), type, {elements}),
                               Tensor(bytes.data(), type, {elements}));
    }
    copies_.push_back(std::move(c));
    return copies_.back().device;
  }

  static void convert(void* to, DType to_type, const void* from, DType from_type, int64_t count) {
    if (to_type == from_type) {
      std::memcpy(to, from, static_cast<size_t>(count) * size_of(to_type));
    } else if (to_type == DType::bf16) {
      for (int64_t i = 0; i < count; ++i)
        static_cast<bf16*>(to)[i] = bf16(static_cast<const float*>(from)[i]);
    } else {
      for (int64_t i = 0; i < count; ++i)
        static_cast<float*>(to)[i] = static_cast<float>(static_cast<const bf16*>(from)[i]);
    }
  }

  DeviceMirror& mirror_;
  std::list<Copy> copies_;
};

DeviceMirror::DeviceMirror(std::unique_ptr<Backend> backend, std::function<void()> recover)
    : backend_(std::move(backend)), recover_(std::move(recover)) {}

bool DeviceMirror::is_own(const Tensor& t) const {
  const auto* p = static_cast<const std::byte*>(t.raw());
  const auto at = own_.upper_bound(p);
  return at != own_.begin() && p < std::prev(at)->first + std::prev(at)->second.bytes();
}

DeviceBuffer DeviceMirror::allocate(size_t bytes) {
  DeviceBuffer buffer = backend_->allocate(bytes);
  void* data = buffer.data();
  own_.emplace(static_cast<const std::byte*>(data), std::move(buffer));
  return DeviceBuffer(*this, data, bytes);
}

void DeviceMirror::release(void* data, size_t) noexcept { own_.erase(static_cast<const std::byte*>(data)); }

template <class Run>
void DeviceMirror::call(const Run& run) {
  Call c(*this);
  try {
    run(c);
    backend_->synchronize();
  } catch (const Error&) {
    recover_();
    throw;
  }
  c.bring_back();
}

void DeviceMirror::matmul(Tensor out, Tensor x, const Weight& w, const MatmulOptions& options) {
  call([&](Call& c) {
    backend_->matmul(c.activation(out), c.activation(x), w, {c.as_is(options.bias), options.epilogue});
  });
}
void DeviceMirror::embed(Tensor out, Tensor table, Tensor ids, int64_t first_id) {
  call([&](Call& c) { backend_->embed(c.activation(out), c.as_is(table), c.as_is(ids), first_id); });
}
void DeviceMirror::rms_norm(Tensor out, Tensor x, Tensor w, float eps) {
  call([&](Call& c) { backend_->rms_norm(c.activation(out), c.activation(x), c.as_is(w), eps); });
}
void DeviceMirror::add_rms_norm(Tensor residual, Tensor x, Tensor w, Tensor out, float eps) {
  call([&](Call& c) {
    backend_->add_rms_norm(c.activation(residual), c.activation(x), c.as_is(w), c.activation(out), eps);
  });
}
void DeviceMirror::layer_norm(Tensor out, Tensor x, Tensor w, Tensor b, float eps) {
  call([&](Call& c) {
    backend_->layer_norm(c.activation(out), c.activation(x), c.as_is(w), c.as_is(b), eps);
  });
}
void DeviceMirror::rope(Tensor q, Tensor k, Tensor positions, Tensor table) {
  call(
      [&](Call& c) { backend_->rope(c.activation(q), c.activation(k), c.as_is(positions), c.as_is(table)); });
}
void DeviceMirror::store_kv(KvLayer pages, Tensor k, Tensor v, Tensor slots) {
  call([&](Call& c) {
    backend_->store_kv({c.as_is(pages.k), c.as_is(pages.v)}, c.activation(k), c.activation(v),
                       c.as_is(slots));
  });
}
void DeviceMirror::paged_attention(Tensor out, Tensor q, KvLayer pages, const PagedSpans& spans,
                                   float scale) {
  call([&](Call& c) {
    backend_->paged_attention(c.activation(out), c.activation(q), {c.as_is(pages.k), c.as_is(pages.v)},
                              {c.as_is(spans.q_offsets), c.as_is(spans.kv_lengths), c.as_is(spans.page_table),
                               spans.max_q, spans.max_kv},
                              scale);
  });
}
void DeviceMirror::packed_attention(Tensor out, Tensor q, Tensor k, Tensor v, Tensor q_offsets,
                                    Tensor kv_offsets, int max_q, int max_kv, float scale, bool precise) {
  call([&](Call& c) {
    backend_->packed_attention(c.activation(out), c.activation(q), c.activation(k), c.activation(v),
                               c.as_is(q_offsets), c.as_is(kv_offsets), max_q, max_kv, scale, precise);
  });
}
void DeviceMirror::silu_mul(Tensor out, Tensor gate_up) {
  call([&](Call& c) { backend_->silu_mul(c.activation(out), c.activation(gate_up)); });
}
void DeviceMirror::add(Tensor out, Tensor a, Tensor b) {
  call([&](Call& c) { backend_->add(c.activation(out), c.activation(a), c.activation(b)); });
}
void DeviceMirror::add_rows(Tensor x, Tensor rows, Tensor index) {
  call([&](Call& c) { backend_->add_rows(c.activation(x), c.activation(rows), c.as_is(index)); });
}
void DeviceMirror::gather_rows(Tensor out, Tensor x, Tensor index) {
  call([&](Call& c) { backend_->gather_rows(c.activation(out), c.activation(x), c.as_is(index)); });
}
void DeviceMirror::scatter_rows(Tensor x, Tensor rows, Tensor index) {
  call([&](Call& c) { backend_->scatter_rows(c.activation(x), c.activation(rows), c.as_is(index)); });
}
void DeviceMirror::patchify(Tensor out, Tensor pixels, std::span<const PixelSlice> slices, int patch,
                            const PatchNormalisation& normalisation) {
  call(
      [&](Call& c) { backend_->patchify(c.activation(out), c.as_is(pixels), slices, patch, normalisation); });
}
void DeviceMirror::interpolate_positions(Tensor out, Tensor table, int h, int w) {
  call([&](Call& c) { backend_->interpolate_positions(c.activation(out), c.activation(table), h, w); });
}
void DeviceMirror::region_align(Tensor out, Tensor x, std::span<const AlignGrid> grids) {
  call([&](Call& c) { backend_->region_align(c.activation(out), c.activation(x), grids); });
}
void DeviceMirror::argmax(Tensor ids, Tensor values, Tensor logits) {
  call([&](Call& c) { backend_->argmax(c.as_is(ids), c.as_is(values), c.activation(logits)); });
}
void DeviceMirror::best_of_shards(Tensor ids, Tensor part_ids, Tensor values, int64_t width,
                                  int64_t vocabulary) {
  call([&](Call& c) {
    backend_->best_of_shards(c.as_is(ids), c.as_is(part_ids), c.as_is(values), width, vocabulary);
  });
}

void DeviceMirror::draw(Tensor ids, Tensor logits, int64_t vocabulary, Tensor draws) {
  call([&](Call& c) { backend_->draw(c.as_is(ids), c.as_is(logits), vocabulary, c.as_is(draws)); });
}

void DeviceMirror::take_drawn(Tensor ids, Tensor drawn, Tensor at) {
  call([&](Call& c) { backend_->take_drawn(c.as_is(ids), c.as_is(drawn), c.as_is(at)); });
}

void DeviceMirror::cast(Tensor out, Tensor x) {
  call([&](Call& c) { backend_->cast(c.as_is(out), c.as_is(x)); });
}

void DeviceMirror::finite_rows(Tensor flags, Tensor x) {
  call([&](Call& c) { backend_->finite_rows(c.as_is(flags), c.activation(x)); });
}
void DeviceMirror::copy_pages(KvLayer pages, Tensor from, Tensor to) {
  call([&](Call& c) {
    backend_->copy_pages({c.as_is(pages.k), c.as_is(pages.v)}, c.as_is(from), c.as_is(to));
  });
}

}  // namespace uhd

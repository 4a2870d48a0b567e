// Implements cuBLASLt on the host: the calls that kernels/cuda uses, as plain sums in double, late on the
// stream. It refuses everything that the real library refuses, and also the calls that the real library would
// answer with a fault on the device: pointers less aligned than the algorithm was chosen for, a workspace
// that is too small, an algorithm of another problem.
#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "emulation/cuda.h"
#include "emulation/streams.h"
#include "kernels/dtype.h"

struct cublasLtContext {
  uint64_t magic = 0x6c74;
};

namespace {

using uhd::bf16;

struct Layout {
  cudaDataType type = CUDA_R_32F;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t ld = 0;
  int32_t order = CUBLASLT_ORDER_COL;
  bool operator==(const Layout&) const = default;
};

struct Operation {
  int32_t compute = CUBLAS_COMPUTE_32F;
  int32_t scale = CUDA_R_32F;
  int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  int32_t transpose_a = CUBLAS_OP_N;
  int32_t transpose_b = CUBLAS_OP_N;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  int32_t bias_type = -1;  // of D
};

struct Preference {
  uint64_t workspace = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t align_a = 256, align_b = 256, align_c = 256, align_d = 256;
};

// An algorithm remembers these of the problem that it was chosen for; they fit cublasLtMatmulAlgo_t.
struct Algorithm {
  uint64_t problem = 0;
  uint32_t workspace = 0;
  uint16_t align_a = 1, align_b = 1, align_c = 1, align_d = 1;
  uint16_t align_bias = 1;
};
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

template <class T>
T& of(void* opaque) {
  return *static_cast<T*>(opaque);
}

size_t size_of(cudaDataType type) {
  switch (type) {
    case CUDA_R_32F:
    case CUDA_R_32I:
      return 4;
    case CUDA_R_16BF:
      return 2;
    case CUDA_R_8I:
    case CUDA_R_8F_E4M3:
      return 1;
    default:
      return 0;
  }
}
bool is_code(cudaDataType type) { return size_of(type) == 1; }

bool has_bias(const Operation& op) { return (op.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
bool has_gelu(const Operation& op) { return (op.epilogue & CUBLASLT_EPILOGUE_GELU) != 0; }

uint64_t mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x100000001b3u; }

uint64_t problem_of(const Operation& op, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const Layout& l : {a, b, c, d}) {
    for (int64_t v : {int64_t{l.type}, l.rows, l.columns, l.ld, int64_t{l.order}}) {
      hash = mix(hash, static_cast<uint64_t>(v));
    }
  }
  for (int64_t v : {int64_t{op.compute}, int64_t{op.scale}, int64_t{op.transpose_a}, int64_t{op.transpose_b},
                    int64_t{op.epilogue}}) {
    hash = mix(hash, static_cast<uint64_t>(v));
  }
  return hash;
}

bool layout_holds(const Layout& l) {
  return l.rows > 0 && l.columns > 0 && l.ld >= (l.order == CUBLASLT_ORDER_COL ? l.rows : l.columns) &&
         size_of(l.type) > 0;
}

// Bytes that every address, size and stride of codes must be a multiple of. The library's manual asks it of
// e4m3, and only multiples of 4 of int8, but for 16 if it is to be fast.
constexpr uint32_t kCodeBytes = 16;

// The manual's table and its requirements for int8 in the ordinary order (its "IMMA kernels") and for e4m3:
// A transposed and B not. Of its results only those that keep every bit are known here, plainly stored.
cublasStatus_t check_codes(const Operation& op, const Layout& a, const Layout& b, const Layout& d) {
  const bool whole = a.type == CUDA_R_8I;
  const bool types =
      a.type == b.type &&
      (whole ? d.type == CUDA_R_32I && op.compute == CUBLAS_COMPUTE_32I && op.scale == CUDA_R_32I
             : (d.type == CUDA_R_32F || d.type == CUDA_R_16BF) && op.compute == CUBLAS_COMPUTE_32F &&
                   op.scale == CUDA_R_32F);
  if (!types || op.epilogue != CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!whole && uhd::emulation::architecture() < 89) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (op.transpose_a != CUBLAS_OP_T || op.transpose_b != CUBLAS_OP_N) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (const Layout& l : {a, b, d}) {
    const auto size = static_cast<int64_t>(size_of(l.type));
    if (l.rows % kCodeBytes != 0 || l.columns % kCodeBytes != 0 || l.ld * size % kCodeBytes != 0) {
      return CUBLAS_STATUS_NOT_SUPPORTED;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

// Types and epilogues of the library's table.
cublasStatus_t check_problem(const Operation& op, const Layout& a, const Layout& b, const Layout& c,
                             const Layout& d) {
  for (const Layout& l : {a, b, c, d}) {
    if (!layout_holds(l)) return CUBLAS_STATUS_INVALID_VALUE;
    if (l.order != CUBLASLT_ORDER_COL) return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const bool ta = op.transpose_a == CUBLAS_OP_T;
  const bool tb = op.transpose_b == CUBLAS_OP_T;
  const int64_t m = ta ? a.columns : a.rows;
  const int64_t k = ta ? a.rows : a.columns;
  const int64_t n = tb ? b.rows : b.columns;
  if (k != (tb ? b.columns : b.rows) || d.rows != m || d.columns != n) return CUBLAS_STATUS_INVALID_VALUE;
  if (c.rows != d.rows || c.columns != d.columns || c.type != d.type) return CUBLAS_STATUS_INVALID_VALUE;
  if (op.pointer_mode != CUBLASLT_POINTER_MODE_HOST) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (is_code(a.type) || is_code(b.type)) return check_codes(op, a, b, d);
  if (op.compute != CUBLAS_COMPUTE_32F || op.scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool types = a.type == b.type && (a.type == CUDA_R_16BF || a.type == CUDA_R_32F) &&
                     (d.type == CUDA_R_32F || (d.type == CUDA_R_16BF && a.type == CUDA_R_16BF));
  if (!types) return CUBLAS_STATUS_NOT_SUPPORTED;
  constexpr uint32_t kKnown = CUBLASLT_EPILOGUE_DEFAULT | CUBLASLT_EPILOGUE_BIAS | CUBLASLT_EPILOGUE_GELU;
  if (op.epilogue == 0 || (op.epilogue & ~kKnown) != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (has_bias(op) && op.bias_type >= 0 && op.bias_type != d.type) return CUBLAS_STATUS_NOT_SUPPORTED;
  return CUBLAS_STATUS_SUCCESS;
}

// The widest access, up to 16 bytes, that a matrix allows: its pointer's promised alignment and its stride.
uint16_t access(uint32_t promised, const Layout& l) {
  uint32_t bytes = std::min<uint32_t>(promised, 16);
  while (bytes > size_of(l.type) && l.columns > 1 &&
         static_cast<uint64_t>(l.ld) * size_of(l.type) % bytes != 0) {
    bytes /= 2;
  }
  return static_cast<uint16_t>(bytes);
}

uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return address == 0 ? 256 : static_cast<uint32_t>(std::min<uintptr_t>(address & -address, 256));
}

bool aligned(const void* pointer, uint32_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % bytes == 0;
}

// Returns true if a column-major matrix lies in one device buffer.
bool reaches(const Layout& l, const void* p) {
  const int64_t elements = (l.columns - 1) * l.ld + l.rows;
  return uhd::emulation::in_device_memory(p, static_cast<size_t>(elements) * size_of(l.type));
}

// Sign, four bits of exponent with bias 7, three of mantissa; all bits set is NaN.
double e4m3(uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return std::nan("");
  const double size = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return code >> 7 != 0 ? -size : size;
}

const std::array<double, 256> kE4m3 = [] {
  std::array<double, 256> values{};
  for (int code = 0; code < 256; ++code) values[code] = e4m3(static_cast<uint8_t>(code));
  return values;
}();

double load(cudaDataType type, const void* p, int64_t i) {
  switch (type) {
    case CUDA_R_32F:
      return static_cast<const float*>(p)[i];
    case CUDA_R_32I:
      return static_cast<const int32_t*>(p)[i];
    case CUDA_R_8I:
      return static_cast<const int8_t*>(p)[i];
    case CUDA_R_8F_E4M3:
      return kE4m3[static_cast<const uint8_t*>(p)[i]];
    default:
      return static_cast<double>(static_cast<float>(static_cast<const bf16*>(p)[i]));
  }
}

void store(cudaDataType type, void* p, int64_t i, double value) {
  switch (type) {
    case CUDA_R_32F:
      static_cast<float*>(p)[i] = static_cast<float>(value);
      break;
    case CUDA_R_32I:
      if (std::abs(value) > INT32_MAX) uhd::emulation::fail("a sum of int8 products leaves 32 bits");
      static_cast<int32_t*>(p)[i] = static_cast<int32_t>(value);
      break;
    default:
      static_cast<bf16*>(p)[i] = bf16(static_cast<float>(value));
  }
}

double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

// Everything that the device would have been sent.
struct Product {
  Operation op;
  Layout a, b, c, d;
  const void *pa, *pb, *pc;
  void* pd;
  double alpha, beta;
  void* workspace;
  size_t workspace_bytes;

  void run() const {
    // An algorithm may leave anything there.
    if (workspace_bytes > 0) std::memset(workspace, 0xff, workspace_bytes);
    const bool ta = op.transpose_a == CUBLAS_OP_T;
    const bool tb = op.transpose_b == CUBLAS_OP_T;
    const int64_t k = ta ? a.rows : a.columns;
    if (a.type == CUDA_R_8I) return store_all([&](int64_t i, int64_t j) { return sum_of_codes(i, j, k); });
    const std::vector<float> rows = gathered(a, pa, d.rows, k, ta ? a.ld : 1, ta ? 1 : a.ld);
    const std::vector<float> columns = gathered(b, pb, d.columns, k, tb ? 1 : b.ld, tb ? b.ld : 1);
    store_all([&](int64_t i, int64_t j) { return sum(rows.data() + i * k, columns.data() + j * k, k); });
  }

  template <class Sum>
  void store_all(const Sum& sum_at) const {
    for (int64_t j = 0; j < d.columns; ++j) {
      for (int64_t i = 0; i < d.rows; ++i) {
        double value = alpha * sum_at(i, j);
        if (beta != 0) value += beta * load(c.type, pc, j * c.ld + i);
        if (has_bias(op)) value += load(d.type, op.bias, i);
        if (has_gelu(op)) value = gelu_tanh(value);
        store(d.type, pd, j * d.ld + i, value);
      }
    }
  }

  // Returns `count` vectors of k elements behind one another, which float holds exactly.
  static std::vector<float> gathered(const Layout& layout, const void* p, int64_t count, int64_t k,
                                     int64_t next, int64_t step) {
    std::vector<float> values(static_cast<size_t>(count * k));
    float* to = values.data();
    for (int64_t n = 0; n < count; ++n) {
      for (int64_t i = 0; i < k; ++i) *to++ = static_cast<float>(load(layout.type, p, n * next + i * step));
    }
    return values;
  }

  // Parts that do not wait for each other.
  static double sum(const float* x, const float* y, int64_t k) {
    constexpr int64_t kParts = 8;
    double parts[kParts] = {};
    int64_t i = 0;
    for (; i + kParts <= k; i += kParts) {
      for (int64_t part = 0; part < kParts; ++part)
        parts[part] += static_cast<double>(x[i + part]) * static_cast<double>(y[i + part]);
    }
    for (; i < k; ++i) parts[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    return std::accumulate(parts, parts + kParts, 0.0);
  }

  // Codes lie in the one way that check_problem takes.
  double sum_of_codes(int64_t i, int64_t j, int64_t k) const {
    const auto* x = static_cast<const int8_t*>(pa) + i * a.ld;
    const auto* y = static_cast<const int8_t*>(pb) + j * b.ld;
    int64_t total = 0;
    for (int64_t n = 0; n < k; ++n) total += x[n] * y[n];
    return static_cast<double>(total);
  }
};

// Reads alpha or beta, which are of the scale type.
double scalar(const Operation& op, const void* p) {
  return op.scale == CUDA_R_32I ? *static_cast<const int32_t*>(p) : *static_cast<const float*>(p);
}

template <class T>
cublasStatus_t assign(T& to, const void* buf, size_t size) {
  if (buf == nullptr || size != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, buf, size);
  return CUBLAS_STATUS_SUCCESS;
}

template <class Handle, class T>
cublasStatus_t create(Handle* out, T value) {
  if (out == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *out = reinterpret_cast<Handle>(new T(value));
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion() { return 130000; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "the operation completed successfully";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the functionality requested is not supported";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    default:
      return "the operation failed";
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
  return create(layout, Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), ld});
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete reinterpret_cast<Layout*>(layout);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  Operation op;
  op.compute = compute;
  op.scale = scale;
  return create(desc, op);
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete reinterpret_cast<Operation*>(desc);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute, const void* buf,
                                              size_t size) {
  auto& op = of<Operation>(desc);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return assign(op.pointer_mode, buf, size);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return assign(op.transpose_a, buf, size);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return assign(op.transpose_b, buf, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return assign(op.epilogue, buf, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return assign(op.bias, buf, size);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return assign(op.bias_type, buf, size);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return create(preference, Preference());
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete reinterpret_cast<Preference*>(preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* buf, size_t size) {
  auto& p = of<Preference>(preference);
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return assign(p.workspace, buf, size);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return assign(p.reductions, buf, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      return assign(p.align_a, buf, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      return assign(p.align_b, buf, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      return assign(p.align_c, buf, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return assign(p.align_d, buf, size);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

// All of its algorithms are one loop.
cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* out,
                                                    size_t bytes, size_t* written) {
  const bool is_short =
      attribute == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID || attribute == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
  if (algorithm == nullptr || out == nullptr || written == nullptr || bytes != (is_short ? 2 : 4))
    return CUBLAS_STATUS_INVALID_VALUE;
  std::memset(out, 0, bytes);
  *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  uhd::emulation::cuda_called(__func__);
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (requested < 1 || results == nullptr || returned == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *returned = 0;
  const auto& op = of<Operation>(desc);
  const auto &la = of<Layout>(a), &lb = of<Layout>(b), &lc = of<Layout>(c), &ld = of<Layout>(d);
  if (const auto status = check_problem(op, la, lb, lc, ld); status != CUBLAS_STATUS_SUCCESS) return status;
  const auto& wanted = of<Preference>(preference);
  // No matrix of two-byte elements can start at an odd address, and codes are taken sixteen at a time.
  const uint32_t least = std::min({wanted.align_a, wanted.align_b, wanted.align_c, wanted.align_d});
  if (least < (is_code(la.type) ? kCodeBytes : size_of(la.type))) return CUBLAS_STATUS_NOT_SUPPORTED;
  Algorithm algorithm;
  algorithm.problem = problem_of(op, la, lb, lc, ld);
  // A long sum is cut into parts where the workspace allows it.
  const bool parts = (wanted.reductions & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) != 0 && la.rows >= 256;
  const uint64_t bytes = static_cast<uint64_t>(ld.rows * ld.columns) * 4;
  if (parts && bytes <= wanted.workspace) algorithm.workspace = static_cast<uint32_t>(bytes);
  algorithm.align_a = access(wanted.align_a, la);
  algorithm.align_b = access(wanted.align_b, lb);
  algorithm.align_c = access(wanted.align_c, lc);
  algorithm.align_d = access(wanted.align_d, ld);
  if (has_bias(op))
    algorithm.align_bias = static_cast<uint16_t>(std::min<uint32_t>(alignment_of(op.bias), 16));
  results[0] = {};
  std::memcpy(&results[0].algo, &algorithm, sizeof(algorithm));
  results[0].workspaceSize = algorithm.workspace;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  results[0].wavesCount = 1.0f;
  *returned = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t layout_a, const void* b,
                              cublasLtMatrixLayout_t layout_b, const void* beta, const void* c,
                              cublasLtMatrixLayout_t layout_c, void* d, cublasLtMatrixLayout_t layout_d,
                              const cublasLtMatmulAlgo_t* algo, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (alpha == nullptr || beta == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr ||
      algo == nullptr) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  Product p{of<Operation>(desc),
            of<Layout>(layout_a),
            of<Layout>(layout_b),
            of<Layout>(layout_c),
            of<Layout>(layout_d),
            a,
            b,
            c,
            d,
            scalar(of<Operation>(desc), alpha),
            scalar(of<Operation>(desc), beta),
            workspace,
            0};
  if (const auto status = check_problem(p.op, p.a, p.b, p.c, p.d); status != CUBLAS_STATUS_SUCCESS)
    return status;
  Algorithm chosen;
  std::memcpy(&chosen, static_cast<const void*>(algo->data), sizeof(chosen));
  if (chosen.problem != problem_of(p.op, p.a, p.b, p.c, p.d)) return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace_bytes < chosen.workspace || (chosen.workspace > 0 && workspace == nullptr) ||
      !aligned(workspace, 16)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (!aligned(a, chosen.align_a) || !aligned(b, chosen.align_b) || !aligned(c, chosen.align_c) ||
      !aligned(d, chosen.align_d)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (has_bias(p.op) && (p.op.bias == nullptr || !aligned(p.op.bias, chosen.align_bias))) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  // In place means C = D; any other overlap with D would be read after it was written.
  if (p.beta != 0 && c == d && p.c != p.d) return CUBLAS_STATUS_INVALID_VALUE;
  p.workspace_bytes = chosen.workspace;
  if (!reaches(p.a, a) || !reaches(p.b, b) || !reaches(p.d, d) || (p.beta != 0 && !reaches(p.c, c)) ||
      (has_bias(p.op) &&
       !uhd::emulation::in_device_memory(p.op.bias, static_cast<size_t>(p.d.rows) * size_of(p.d.type))) ||
      (p.workspace_bytes > 0 && !uhd::emulation::in_device_memory(workspace, p.workspace_bytes))) {
    uhd::emulation::fail("cublasLtMatmul reaches outside of its matrices' memory");
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  std::vector<const void*> touches{a, b, d};
  if (has_bias(p.op)) touches.push_back(p.op.bias);
  if (p.workspace_bytes > 0) touches.push_back(workspace);
  const cudaError_t queued = uhd::emulation::enqueue(
      stream, "cublasLtMatmul", [p] { p.run(); }, touches);
  return queued == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // extern "C"

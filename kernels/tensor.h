// A Tensor is a typed, shaped view of memory that someone else owns.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "base/error.h"
#include "kernels/dtype.h"

namespace uhd {

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, bf16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, f16>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, uint8_t>)
    return DType::u8;
  else if constexpr (std::is_same_v<T, int8_t>)
    return DType::i8;
  else if constexpr (std::is_same_v<T, int32_t>)
    return DType::i32;
  else {
    static_assert(std::is_same_v<T, int64_t>);
    return DType::i64;
  }
}

// A Shape has up to four sizes; a view of fewer dimensions has fewer.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    check(dims.size() <= 4, "a tensor has at most 4 dimensions");
    for (int64_t d : dims) dims_[rank_++] = d;
  }
  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, 4> dims_{};
  int rank_ = 0;
};

// A Tensor is passed by value, and never stored past its owner. Dimension 0 may be spaced: consecutive rows
// lie `row_stride` elements apart (so that q, k and v are views into one projection's output); the dimensions
// inside a row are dense.
class Tensor {
 public:
  Tensor() = default;
  Tensor(void* data, DType dtype, Shape shape) : Tensor(data, dtype, shape, row_elements(shape)) {}
  Tensor(void* data, DType dtype, Shape shape, int64_t row_stride)
      : data_(data), shape_(shape), row_stride_(row_stride), dtype_(dtype) {}

  // Makes a dense tensor over plain elements, for host-side inputs and tests.
  template <class T>
  static Tensor of(T* data, Shape shape) {
    return Tensor(const_cast<std::remove_const_t<T>*>(data), dtype_of<std::remove_const_t<T>>(), shape);
  }

  bool empty() const { return data_ == nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t rows() const { return shape_.rank() == 0 ? 0 : shape_[0]; }
  int64_t row_size() const { return row_elements(shape_); }  // the elements of one row
  int64_t row_stride() const { return row_stride_; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype_); }  // needs: a dense tensor
  bool dense() const { return row_stride_ == row_size() || rows() <= 1; }

  void* raw() const { return data_; }
  template <class T>
  T* data() const {
    check(dtype_ == dtype_of<std::remove_const_t<T>>(), "tensor holds ", name_of(dtype_));
    return static_cast<T*>(data_);
  }
  template <class T>
  T* row(int64_t i) const {
    return data<T>() + i * row_stride_;
  }

  // Returns rows [begin, begin + count).
  Tensor slice_rows(int64_t begin, int64_t count) const {
    Tensor t = *this;
    t.data_ = offset(begin * row_stride_);
    t.shape_ = with_rows(count);
    return t;
  }
  // Returns columns [begin, begin + count) of a matrix: the same rows, spaced.
  Tensor slice_columns(int64_t begin, int64_t count) const {
    check(rank() == 2, "slice_columns is for matrices");
    return Tensor(offset(begin), dtype_, {shape_[0], count}, row_stride_);
  }
  // Returns the same elements under another shape; rows stay rows unless the tensor is dense.
  Tensor reshaped(Shape shape) const {
    check(shape.elements() == elements(), "reshape keeps the number of elements");
    if (shape.rank() > 0 && shape[0] == rows()) return Tensor(data_, dtype_, shape, row_stride_);
    check(dense(), "only a dense tensor changes its rows");
    return Tensor(data_, dtype_, shape);
  }

 private:
  static int64_t row_elements(const Shape& s) {
    int64_t n = 1;
    for (int i = 1; i < s.rank(); ++i) n *= s[i];
    return n;
  }
  void* offset(int64_t elements) const {
    return static_cast<char*>(data_) + elements * static_cast<int64_t>(size_of(dtype_));
  }
  Shape with_rows(int64_t n) const {
    switch (rank()) {
      case 1:
        return {n};
      case 2:
        return {n, shape_[1]};
      case 3:
        return {n, shape_[1], shape_[2]};
      default:
        return {n, shape_[1], shape_[2], shape_[3]};
    }
  }

  void* data_ = nullptr;
  Shape shape_;
  int64_t row_stride_ = 0;
  DType dtype_ = DType::f32;
};

}  // namespace uhd

// Reads and writes messages in binary. Each message struct has one serialize(archive, value), which both
// directions use.
//
// struct Hello { uint32_t version; std::string host; };
// template <class A> void serialize(A& a, Hello& h) { a(h.version, h.host); }
//
// The layout is fixed and little-endian. Integers and floats are stored as they are; a string or vector is
// stored as a 32-bit count and its elements. A Reader never trusts a count: it checks the count against the
// bytes that are left before it allocates anything.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace uhd {

template <class T>
concept Plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;

class Writer {
 public:
  explicit Writer(std::vector<std::byte>& out) : out_(out) {}
  template <class... Ts>
  void operator()(const Ts&... values) {
    (put(values), ...);
  }

 private:
  // This function stays out of line: g++ 12 warns of overflows that do not exist when a vector of bytes grows
  // inside its caller.
  [[gnu::noinline]] void append(const void* data, size_t bytes) {
    const auto* begin = static_cast<const std::byte*>(data);
    out_.insert(out_.end(), begin, begin + bytes);
  }
  template <Plain T>
  void put(const T& v) {
    append(&v, sizeof(T));
  }
  void put(const std::string& s) {
    put(static_cast<uint32_t>(s.size()));
    append(s.data(), s.size());
  }
  template <class T>
  void put(const std::vector<T>& v) {
    put(static_cast<uint32_t>(v.size()));
    if constexpr (Plain<T> && !std::is_same_v<T, bool>) {
      append(v.data(), v.size() * sizeof(T));
    } else {
      for (const T& x : v) put(x);
    }
  }
  template <class T>
  requires(!Plain<T>) void put(const T& v) { serialize(*this, const_cast<T&>(v)); }

  std::vector<std::byte>& out_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> in) : in_(in) {}
  template <class... Ts>
  void operator()(Ts&... values) {
    (get(values), ...);
  }
  size_t left() const { return in_.size(); }

 private:
  void take(void* to, size_t bytes) {
    require(bytes <= in_.size(), "message is too short: ", bytes, " bytes wanted, ", in_.size(), " left");
    if (bytes > 0) std::memcpy(to, in_.data(), bytes);
    in_ = in_.subspan(bytes);
  }
  template <Plain T>
  void get(T& v) {
    take(&v, sizeof(T));
  }
  void get(std::string& s) {
    s.resize(count(1));
    take(s.data(), s.size());
  }
  template <class T>
  void get(std::vector<T>& v) {
    if constexpr (Plain<T> && !std::is_same_v<T, bool>) {
      v.resize(count(sizeof(T)));
      take(v.data(), v.size() * sizeof(T));
    } else {
      v.resize(count(1));
      for (T& x : v) get(x);
    }
  }
  template <class T>
  requires(!Plain<T>) void get(T& v) { serialize(*this, v); }

  uint32_t count(size_t bytes_each) {
    uint32_t n = 0;
    take(&n, sizeof(n));
    require(n <= in_.size() / bytes_each, "message claims ", n, " elements, more than its bytes hold");
    return n;
  }

  std::span<const std::byte> in_;
};

}  // namespace uhd

#include "model/text/jinja/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"

namespace uhd::jinja {
namespace {

constexpr int kMaxWidth = 10'000;

struct Spec {
  std::string fill = " ";
  char align = 0;  // < > ^ =; 0: as the type has it
  char sign = '-';
  bool alternate = false;
  char grouping = 0;
  int width = 0;
  int precision = -1;
  char type = 0;
};

int64_t characters(const MarkedText& text) {
  return static_cast<int64_t>(character_places(text.text).size()) - 1;
}

MarkedText padded(const MarkedText& text, const Spec& spec, char align, size_t sign_bytes = 0) {
  const int64_t missing = std::max<int64_t>(0, spec.width - characters(text));
  const int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  MarkedText out;
  if (align == '=') out.append(text.substr(0, sign_bytes));
  for (int64_t i = 0; i < left; ++i) out.append(spec.fill);
  out.append(align == '=' ? text.substr(sign_bytes) : text);
  for (int64_t i = left; i < missing; ++i) out.append(spec.fill);
  return out;
}

MarkedText format_text(const MarkedText& text, const Spec& spec) {
  if (spec.align == '=' || spec.sign != '-' || spec.alternate || spec.grouping != 0)
    fail("a wrong format of a text");
  MarkedText shown = text;
  if (spec.precision >= 0 && spec.precision < characters(text)) {
    shown = text.substr(0, character_places(text.text)[static_cast<size_t>(spec.precision)]);
  }
  return padded(shown, spec, spec.align == 0 ? '<' : spec.align);
}

std::string grouped(std::string digits, char separator, size_t every) {
  if (separator == 0) return digits;
  for (auto at = static_cast<int64_t>(std::min(digits.find_first_of(".e%"), digits.size())) -
                 static_cast<int64_t>(every);
       at > 0; at -= static_cast<int64_t>(every)) {
    digits.insert(static_cast<size_t>(at), 1, separator);
  }
  return digits;
}

// The digits of a number without its sign; the sign and a prefix are put before them.
MarkedText signed_digits(bool negative, const std::string& prefix, const std::string& digits,
                         const Spec& spec) {
  if (spec.grouping != 0 && spec.fill == "0" && spec.width > 0) fail("grouped digits filled with zeros");
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  sign += prefix;
  return padded(MarkedText(sign + digits), spec, spec.align == 0 ? '>' : spec.align, sign.size());
}

std::string in_base(uint64_t value, unsigned base, bool upper) {
  const std::string_view names = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string digits;
  do {
    digits.insert(digits.begin(), names[value % base]);
    value /= base;
  } while (value > 0);
  return digits;
}

MarkedText format_whole(int64_t value, const Spec& spec) {
  if (spec.type == 'c') {
    if (value < 0 || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
      fail("a number that is no character");
    std::string text;
    append_utf8(text, static_cast<uint32_t>(value));
    return padded(MarkedText(text), spec, spec.align == 0 ? '<' : spec.align);
  }
  const char type =
      spec.type == 0 || spec.type == 'i' || spec.type == 'u' || spec.type == 'n' ? 'd' : spec.type;
  const unsigned base = type == 'd' ? 10 : type == 'o' ? 8 : type == 'b' ? 2 : 16;
  if (std::string_view("doxXb").find(type) == std::string_view::npos)
    fail("a wrong format of a whole number");
  const uint64_t size = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const std::string prefix = spec.alternate && base != 10 ? std::string("0") + type : "";
  std::string digits = in_base(size, base, type == 'X');
  if (static_cast<int>(digits.size()) < spec.precision)
    digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
  return signed_digits(value < 0, prefix, grouped(digits, spec.grouping, base == 10 ? 3 : 4), spec);
}

std::string real_digits(double value, const Spec& spec) {
  const bool percent = spec.type == '%';
  if (!std::isfinite(value)) {
    const std::string text = std::isnan(value) ? "nan" : "inf";
    return (spec.type >= 'A' && spec.type <= 'Z' ? (std::isnan(value) ? "NAN" : "INF") : text) +
           (percent ? "%" : "");
  }
  if (spec.type == 0 && spec.precision < 0) return real_text(value);
  if (spec.type == 0) fail("a precision of a number without a type");
  const char type = percent ? 'f' : spec.type == 'n' ? 'g' : spec.type;
  if (std::string_view("eEfFgG").find(type) == std::string_view::npos) fail("a wrong format of a number");
  const std::string pattern = std::string(spec.alternate ? "%#.*" : "%.*") + type;
  std::string digits(static_cast<size_t>(std::max(spec.precision, 6)) + 400, '\0');
  const int length = std::snprintf(digits.data(), digits.size(), pattern.c_str(),
                                   spec.precision < 0 ? 6 : spec.precision, percent ? value * 100 : value);
  digits.resize(static_cast<size_t>(length));
  return percent ? digits + "%" : digits;
}

MarkedText format_real(double value, const Spec& spec) {
  const bool negative = std::signbit(value) && !std::isnan(value);
  return signed_digits(negative, "", grouped(real_digits(std::abs(value), spec), spec.grouping, 3), spec);
}

void check_width(const Spec& spec) {
  if (spec.width > kMaxWidth || spec.precision > kMaxWidth) fail("a format with a width above 10000");
}

// Formats by a format spec of str.format.
MarkedText formatted(const Value& value, const Spec& spec, bool plain, Budget& budget) {
  check_width(spec);
  if (plain || value.is(Type::string)) {
    if (spec.type != 0 && spec.type != 's') fail("a wrong format of a text");
    return format_text(to_text(value, budget), spec);
  }
  if (value.is(Type::real)) return format_real(value.real, spec);
  if (!value.is_number()) fail("a format of a value that takes none");
  if (spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos) {
    return format_real(value.number(), spec);
  }
  if (spec.precision >= 0) fail("a precision of a whole number");
  return format_whole(value.integer, spec);
}

int read_number(std::string_view text, size_t& at) {
  int value = -1;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    value = std::min(std::max(value, 0) * 10 + (text[at] - '0'), kMaxWidth + 1);
  }
  return value;
}

// [[fill]align][sign][#][0][width][grouping][.precision][type]
Spec read_spec(std::string_view text) {
  Spec spec;
  size_t at = 0;
  const auto is_align = [&](size_t i) {
    return i < text.size() && std::string_view("<>^=").find(text[i]) != std::string_view::npos;
  };
  const size_t first = text.empty() ? 0 : utf8_at(text, 0).bytes;
  if (is_align(first) && first > 0) {
    spec.fill = std::string(text.substr(0, first));
    spec.align = text[first];
    at = first + 1;
  } else if (is_align(0)) {
    spec.align = text[at++];
  }
  const auto take = [&](std::string_view signs) {
    return at < text.size() && signs.find(text[at]) != std::string_view::npos ? text[at++] : '\0';
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != 0;
  if (take("0") != 0 && spec.align == 0) {
    spec.fill.assign(1, '0');
    spec.align = '=';
  }
  spec.width = std::max(read_number(text, at), 0);
  spec.grouping = take(",_");
  if (take(".") != 0) spec.precision = read_number(text, at);
  spec.type = take("bcdeEfFgGnosxX%");
  if (at != text.size()) fail("a wrong format '" + std::string(text) + "'");
  return spec;
}

// 'a %s b' % values.
class PercentFormat {
 public:
  PercentFormat(const MarkedText& format, const Value& values, Budget& budget)
      : format_(format), values_(values), budget_(budget) {}

  MarkedText run() {
    for (size_t end = 0; at_ < format_.size();) {
      end = std::min(format_.text.find('%', at_), format_.size());
      out_.append(format_.substr(at_, end - at_));
      at_ = end + 1;
      if (end < format_.size()) convert();
      if (out_.size() > kMaxTextBytes) fail("it makes too much text");
    }
    const bool mapping = values_.is(Type::dict) || (values_.is(Type::list) && !values_.is(Form::tuple));
    if (!mapping && next_ < count()) fail("a format takes fewer values than are given");
    return std::move(out_);
  }

 private:
  size_t count() const { return values_.is(Form::tuple) ? values_.list->size() : 1; }
  const Value& next() {
    if (next_ >= count()) fail("a format needs more values than are given");
    return values_.is(Form::tuple) ? (*values_.list)[next_++] : (++next_, values_);
  }
  char current() const {
    if (at_ >= format_.size()) fail("a format ends in the middle");
    return format_.text[at_];
  }

  void convert() {
    if (current() == '%') {
      ++at_;
      return out_.append("%");
    }
    const Value* named = current() == '(' ? &by_name() : nullptr;
    Spec spec = flags();
    while (current() == 'l' || current() == 'h' || current() == 'L') ++at_;
    spec.type = format_.text[at_++];
    check_width(spec);
    out_.append(one(named != nullptr ? *named : next(), spec));
  }

  const Value& by_name() {
    const size_t end = format_.text.find(')', at_);
    if (!values_.is(DictKind::mapping) || end == std::string::npos)
      fail("a format with names needs a mapping");
    const std::string name = format_.text.substr(at_ + 1, end - at_ - 1);
    const Value* found = values_.dict->find(name);
    if (found == nullptr) fail("a format needs '" + name + "'");
    at_ = end + 1;
    return *found;
  }

  Spec flags() {
    Spec spec;
    spec.align = '>';
    for (; std::string_view("#0- +").find(current()) != std::string_view::npos; ++at_) {
      const char c = current();
      if (c == '#') spec.alternate = true;
      if (c == '-') spec.align = '<';
      if (c == '0' && spec.align != '<') spec.align = '=';
      if (c == '+' || (c == ' ' && spec.sign != '+')) spec.sign = c;
    }
    if (spec.align == '=') spec.fill.assign(1, '0');
    spec.width = size();
    if (spec.width < 0) spec.width = 0;
    if (current() == '.') {
      ++at_;
      spec.precision = std::max(size(), 0);
    }
    return spec;
  }
  int size() {
    if (current() != '*') return read_number(format_.text, at_);
    ++at_;
    return static_cast<int>(std::clamp<int64_t>(integer_of(next(), "a width"), 0, kMaxWidth + 1));
  }

  MarkedText one(const Value& value, Spec spec) {
    if (spec.type == 's' || spec.type == 'r') {
      spec.sign = '-';
      spec.alternate = false;
      if (spec.align == '=') {
        spec.align = '>';
        spec.fill.assign(1, ' ');
      }
      return format_text(spec.type == 's' ? to_text(value, budget_) : to_repr(value, budget_), spec);
    }
    if (spec.type == 'c' && value.is(Type::string)) {
      if (characters(*value.string) != 1) fail("%c needs one character");
      return format_text(*value.string, spec);
    }
    if (!value.is_number()) fail("a format of a number needs a number");
    if (std::string_view("eEfFgG").find(spec.type) != std::string_view::npos)
      return format_real(value.number(), spec);
    if (value.is(Type::real) && spec.type != 'd' && spec.type != 'i' && spec.type != 'u')
      fail("a format needs a whole number");
    if (value.is(Type::real) && !(std::abs(value.real) < 9e18)) fail("a number is too large");
    if (spec.align == '=' && spec.precision >= 0) fail("a whole number with zeros and a precision");
    return format_whole(value.is(Type::real) ? static_cast<int64_t>(value.real) : value.integer, spec);
  }

  const MarkedText& format_;
  const Value& values_;
  Budget& budget_;
  MarkedText out_;
  size_t at_ = 0;
  size_t next_ = 0;
};

// 'a {} b'.format(values).
class BraceFormat {
 public:
  BraceFormat(const Arguments& arguments, Budget& budget) : arguments_(arguments), budget_(budget) {}

  MarkedText run(const MarkedText& format, int depth) {
    if (depth > 1) fail("a format with fields too deep");
    MarkedText out;
    for (size_t at = 0; at < format.size();) {
      const size_t sign = std::min(format.text.find_first_of("{}", at), format.size());
      out.append(format.substr(at, sign - at));
      if (sign == format.size()) break;
      if (sign + 1 < format.size() && format.text[sign + 1] == format.text[sign]) {
        out.append(format.substr(sign, 1));
        at = sign + 2;
        continue;
      }
      const size_t end = end_of_field(format.text, sign);
      out.append(field(format.substr(sign + 1, end - sign - 1), depth));
      at = end + 1;
      if (out.size() > kMaxTextBytes) fail("it makes too much text");
    }
    return out;
  }

 private:
  static size_t end_of_field(const std::string& text, size_t begin) {
    int open = 0;
    for (size_t at = begin; at < text.size(); ++at) {
      if (text[at] == '{') ++open;
      if (text[at] == '}' && --open == 0) return at;
      if (open <= 0) break;
    }
    fail("a format with a single brace");
  }

  MarkedText field(const MarkedText& field, int depth) {
    const size_t end = std::min(field.text.find_first_of("!:"), field.size());
    const Value value = look_up(field.text.substr(0, end));
    size_t at = end;
    char conversion = 0;
    if (at < field.size() && field.text[at] == '!') {
      conversion = at + 1 < field.size() ? field.text[at + 1] : '\0';
      at += 2;
      if ((conversion != 's' && conversion != 'r') || (at < field.size() && field.text[at] != ':'))
        fail("a wrong conversion in a format");
    }
    const std::string spec = at < field.size() ? run(field.substr(at + 1), depth + 1).text : "";
    const Value shown = conversion == 'r' ? Value::of(to_repr(value, budget_)) : value;
    if (spec.empty()) return to_text(shown, budget_);
    return formatted(shown, read_spec(spec), conversion != 0, budget_);
  }

  // Reads a name or number, then .attribute and [key].
  Value look_up(const std::string& path) {
    size_t at = std::min(path.find_first_of(".["), path.size());
    Value value = first(path.substr(0, at));
    while (at < path.size()) {
      const bool key = path[at] == '[';
      const size_t end = std::min(key ? path.find(']', at) : path.find_first_of(".[", at + 1), path.size());
      const std::string name = path.substr(at + 1, end - at - 1);
      value = key && is_number(name)
                  ? subscript(value, Value::of(static_cast<int64_t>(std::stoi(name))), budget_)
              : key ? subscript(value, Value::text(name), budget_)
                    : attribute(value, name, budget_);
      at = end + (key ? 1 : 0);
    }
    return value;
  }
  static bool is_number(const std::string& text) {
    return !text.empty() && text.size() < 9 && text.find_first_not_of("0123456789") == std::string::npos;
  }

  Value first(const std::string& name) {
    const bool automatic = name.empty();
    if (automatic || is_number(name)) {
      if ((automatic ? numbered_ : next_ > 0)) fail("a format with and without numbers");
      numbered_ = !automatic;
      const size_t place = automatic ? next_++ : static_cast<size_t>(std::stoi(name));
      if (place >= arguments_.positional.size()) fail("a format needs more values than are given");
      return arguments_.positional[place];
    }
    const Value* found = arguments_.get(name);
    if (found == nullptr) fail("a format needs '" + name + "'");
    return *found;
  }

  const Arguments& arguments_;
  Budget& budget_;
  size_t next_ = 0;
  bool numbered_ = false;
};

}  // namespace

MarkedText percent_format(const Value& format, const Value& values, Budget& budget) {
  if (format.escaped) fail("a format of escaped text");
  MarkedText out = PercentFormat(*format.string, values, budget).run();
  budget.bytes(out.size());
  return out;
}

MarkedText brace_format(const Value& format, const Arguments& arguments, Budget& budget) {
  if (format.escaped) fail("a format of escaped text");
  MarkedText out = BraceFormat(arguments, budget).run(*format.string, 0);
  budget.bytes(out.size());
  return out;
}

}  // namespace uhd::jinja

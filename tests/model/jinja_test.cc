#include "model/text/jinja/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/error.h"
#include "base/mapped_file.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

using jinja::Dict;
using jinja::List;
using jinja::Value;
using ::testing::HasSubstr;

std::string render(const std::string& source, const Dict& variables = {}) {
  return JinjaTemplate(source).render(variables).text;
}
std::string template_failure(const std::string& source, const Dict& variables = {}) {
  try {
    render(source, variables);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

Value dict_of(std::initializer_list<std::pair<std::string, Value>> items) {
  auto dict = std::make_shared<Dict>();
  for (const auto& [key, value] : items) dict->set(key, value);
  return Value::of(std::move(dict));
}

// Templates as published models have them, rendered by Jinja2 itself (data/make_chat_expected.py).
TEST(Jinja, RendersAsJinja2) {
  const std::filesystem::path data = UHD_TEST_DATA;
  size_t rows = 0;
  for (const auto& row : read_json_lines(data / "chat_expected.jsonl")) {
    const std::string name(row.at("template").as_string());
    const std::string source = read_text_file(data / "templates" / (name + ".jinja"));
    const bool by_parts = source.find("in message['content']") != std::string::npos;
    const JinjaTemplate chat(source);
    List messages;
    for (const auto& turn : row.at("turns").as_array()) {
      const Value text = Value::text(std::string_view(turn.at(1).as_string()), true);
      const Value parts = Value::of(List{dict_of({{"type", Value::text("text")}, {"text", text}})});
      messages.push_back(dict_of({{"role", Value::text(std::string_view(turn.at(0).as_string()))},
                                  {"content", by_parts ? parts : text}}));
    }
    Dict variables;
    variables.set("messages", Value::of(std::move(messages)));
    variables.set("add_generation_prompt", Value::of(row.at("add_generation_prompt").as_bool()));
    variables.set("tools", Value::none());
    variables.set("bos_token", Value::text("<s>"));
    variables.set("eos_token", Value::text("</s>"));
    std::string got;
    std::string want;
    try {
      got = chat.render(variables).text;
    } catch (const Error& error) {
      got = error.what();
    }
    if (const auto* error = row.as_object().if_contains("error")) {
      want = "chat template: " + std::string(error->as_string());
    } else {
      want = row.at("prompt").as_string();
    }
    EXPECT_EQ(got, want) << name;
    ++rows;
  }
  EXPECT_GT(rows, 200u);
}

// The language itself, piece by piece, rendered by Jinja2 (data/language_cases.txt).
TEST(Jinja, EvaluatesAsJinja2) {
  Dict variables;
  List messages;
  for (const auto& [role, content] : {std::pair("system", "Be brief."),
                                      {"user", "hi <b>\"q\" it's & \u00e9"},
                                      {"assistant", "yes"},
                                      {"user", "why  not"}}) {
    messages.push_back(dict_of({{"role", Value::text(role)}, {"content", Value::text(content)}}));
  }
  variables.set("messages", Value::of(std::move(messages)));
  size_t rows = 0;
  for (const auto& row : read_json_lines(std::filesystem::path(UHD_TEST_DATA) / "language_expected.jsonl")) {
    const std::string source(row.at("template").as_string());
    std::string got;
    try {
      got = render(source, variables);
    } catch (const Error& error) {
      got = error.what();
    }
    EXPECT_EQ(got, std::string_view(row.at("prompt").as_string())) << source;
    ++rows;
  }
  EXPECT_GT(rows, 40u);
}

// Names that nothing defines are found when the template is read, in branches that are never taken too.
TEST(Jinja, RefusesUnknownNamesWhenRead) {
  const auto refusal = [](const std::string& source) -> std::string {
    try {
      const JinjaTemplate read("{% if false %}\n" + source + "{% endif %}");
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  for (const char* name : {"pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr", "nonsense"}) {
    EXPECT_THAT(refusal("{{ x | " + std::string(name) + " }}"), HasSubstr("is not supported, line 2"))
        << name;
    EXPECT_THAT(refusal("{{ x | map('" + std::string(name) + "') }}"), HasSubstr("is not supported, line 2"));
  }
  EXPECT_THAT(refusal("{{ x is nonsense }}"), HasSubstr("the test 'nonsense' is not supported, line 2"));
  EXPECT_THAT(refusal("{{ x | select('nonsense') }}"),
              HasSubstr("the test 'nonsense' is not supported, line 2"));
  EXPECT_THAT(refusal("{{ x | rejectattr('a', 'nonsense') }}"),
              HasSubstr("the test 'nonsense' is not supported"));
  EXPECT_THAT(refusal("{{ lipsum() }}"), HasSubstr("'lipsum' is no function, line 2"));
  for (const char* method : {"append", "update", "pop", "encode", "translate", "nonsense"}) {
    EXPECT_THAT(refusal("{{ x." + std::string(method) + "(1) }}"), HasSubstr("is not supported, line 2"))
        << method;
  }
  for (const char* tag :
       {"include 'x'", "import 'x' as y", "extends 'x'", "block x", "do x", "autoescape true", "trans"})
    EXPECT_THAT(refusal("{% " + std::string(tag) + " %}"), HasSubstr("is not supported here, line 2")) << tag;
  EXPECT_EQ(
      refusal("{% macro f(g) %}{{ g() }}{% endmacro %}{% set n = namespace(h=f) %}{{ n.h() }}{{ f(f) }}"),
      "no error");
}

TEST(Jinja, KnowsWhatWasTyped) {
  Dict variables;
  variables.set("x", Value::text("  <b>  ", true));
  const auto typed = [&](const std::string& source) {
    const MarkedText text = JinjaTemplate(source).render(variables);
    std::string marks;
    for (const char c : text.typed) marks.push_back(c != 0 ? '^' : '.');
    return text.text + "|" + marks;
  };
  EXPECT_EQ(typed("<b>{{ x | trim }}<b>"), "<b><b><b>|...^^^...");
  EXPECT_EQ(typed("{{ 'a' + x.strip() + 'b' }}"), "a<b>b|.^^^.");
  EXPECT_EQ(typed("{{ x.strip()[1:] ~ '<' }}"), "b><|^^.");
  EXPECT_EQ(typed("{{ x.strip().replace('b', '-') }}"), "<->|^.^");
  EXPECT_EQ(typed("{{ x.strip() | upper }}"), "<B>|^^^");
  EXPECT_EQ(typed("{{ ['a', x.strip()] | join(',') }}"), "a,<b>|..^^^");
  EXPECT_EQ(typed("{{ x.strip().split('b')[1] }}"), ">|^");
  EXPECT_EQ(typed("{{ x.strip() | tojson }}"), "\"<b>\"|.^^^.");
  EXPECT_EQ(typed("{% set y %}[{{ x.strip() }}]{% endset %}{{ y }}"), "[<b>]|.^^^.");
  EXPECT_EQ(typed("{% macro m(a) %}({{ a }}){% endmacro %}{{ m(x.strip()) }}"), "(<b>)|.^^^.");
  EXPECT_EQ(typed("{{ '%s!' % x.strip() }}"), "<b>!|^^^.");
  EXPECT_EQ(typed("{{ 'a{}'.format(x.strip()) }}"), "a<b>|.^^^");
  EXPECT_EQ(typed("{{ x.strip() | e }}"), "&lt;b&gt;|^^^^^^^^^");
  EXPECT_EQ(typed("{{ x.strip() | truncate(2, true, '', 0) }}"), "<b|^^");
  EXPECT_EQ(typed("{{ x.strip().center(5, '-') }}"), "-<b>-|.^^^.");
  EXPECT_EQ(typed("{% filter upper %}a{{ x.strip() }}{% endfilter %}"), "A<B>|.^^^");
  EXPECT_EQ(typed("{{ x.strip() | list }}"), "['<', 'b', '>']|..^....^....^..");
}

TEST(Jinja, NamesTheLineOfAWrongTemplate) {
  EXPECT_THAT(template_failure("a\n{% if x %}"), HasSubstr("endif is missing, line 2"));
  EXPECT_THAT(template_failure("{{ 1 + }}"), HasSubstr("an expression is missing"));
  EXPECT_THAT(template_failure("{{ x"), HasSubstr("does not end"));
  EXPECT_THAT(template_failure("{{ 'x }}"), HasSubstr("does not end"));
  EXPECT_THAT(template_failure("{# x"), HasSubstr("does not end"));
  EXPECT_THAT(template_failure("{% endfor %}"), HasSubstr("not supported"));
  EXPECT_THAT(template_failure("{% include 'x' %}"), HasSubstr("'include' is not supported"));
  EXPECT_THAT(template_failure("{% break %}"), HasSubstr("outside of a loop"));
  EXPECT_THAT(template_failure("{{ x | nonsense }}"), HasSubstr("'nonsense' is not supported"));
  EXPECT_THAT(template_failure("{{ 1 is nonsense }}"), HasSubstr("'nonsense' is not supported"));
  EXPECT_THAT(template_failure("{{ '\\ud800' }}"), HasSubstr("no character"));
  EXPECT_THAT(template_failure("{{ x.y.z }}"), HasSubstr("undefined"));
  EXPECT_THAT(template_failure("{{ x() }}"), HasSubstr("'x' is no function"));
  EXPECT_THAT(template_failure("{{ raise_exception('no') }}"), HasSubstr("no"));
}

TEST(Jinja, ReachesNothingOfTheMachine) {
  for (const char* attack :
       {"{{ ''.__class__.__mro__ }}", "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self._TemplateReference__context }}", "{{ ''.__class__() }}", "{{ range.__globals__ }}",
        "{{ messages.append(1) }}", "{{ open('/etc/passwd') }}"}) {
    std::string text;
    try {
      text = render(attack);
    } catch (const Error&) {
    }
    EXPECT_EQ(text, "") << attack;
  }
}

TEST(Jinja, StopsHostileTemplates) {
  const std::string loops = "{% for a in range(99999) %}{% for b in range(99999) %}";
  EXPECT_THAT(template_failure(loops + "{{ a }}{% endfor %}{% endfor %}"), HasSubstr("too many steps"));
  EXPECT_THAT(template_failure("{{ range(1000000000) }}"), HasSubstr("too long"));
  EXPECT_THAT(
      template_failure("{{ range(-9223372036854775807, 9223372036854775807, 4611686018427387904) | list }}"),
      ::testing::AnyOf(HasSubstr("no error"), HasSubstr("digits")));
  EXPECT_THAT(template_failure("{{ 'a' * 1000000000 }}"), HasSubstr("too much text"));
  EXPECT_THAT(template_failure("{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}"
                               "{% set n.x = n.x ~ n.x %}{% endfor %}"),
              HasSubstr("too much text"));
  EXPECT_THAT(template_failure("{% set n = namespace(x=[1]) %}{% for i in range(60) %}"
                               "{% set n.x = n.x + n.x %}{% endfor %}"),
              ::testing::AnyOf(HasSubstr("too long"), HasSubstr("too much")));
  EXPECT_THAT(template_failure("{% set n = namespace(x='a' * 1000000) %}{% for i in range(9999) %}"
                               "{{ n.x == n.x ~ 'b' }}{% endfor %}"),
              HasSubstr("too much text"));
  EXPECT_THAT(template_failure("{% set n = namespace(x=[]) %}{% for i in range(999) %}"
                               "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == n.x }}{{ n.x }}"),
              ::testing::AnyOf(HasSubstr("too deeply"), HasSubstr("too many steps")));
  EXPECT_THAT(template_failure("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("too deeply"));
  EXPECT_THAT(template_failure("{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}"),
              HasSubstr("too deeply"));
  EXPECT_THAT(template_failure("{{ " + std::string(100000, '[') + std::string(100000, ']') + " }}"),
              HasSubstr("too deeply"));
  std::string sum = "{{ 1";
  for (int i = 0; i < 100000; ++i) sum += "+1";
  EXPECT_THAT(template_failure(sum + " }}"), HasSubstr("too deeply"));
  std::string nots = "{{ ";
  for (int i = 0; i < 100000; ++i) nots += "not ";
  EXPECT_THAT(template_failure(nots + "1 }}"), HasSubstr("too deeply"));
  std::string ifs;
  for (int i = 0; i < 10000; ++i) ifs += "{% if 1 %}";
  EXPECT_THAT(template_failure(ifs), HasSubstr("too deeply"));
  EXPECT_THAT(template_failure("{{ 9223372036854775807 + 1 }}"),
              ::testing::AnyOf(HasSubstr("too large"), HasSubstr("digits")));
  EXPECT_THAT(template_failure("{{ 2 ** 64 }}"), HasSubstr("too large"));
  EXPECT_THAT(template_failure("{{ [1] * 1000000000 }}"), HasSubstr("too long"));
  EXPECT_THAT(template_failure("{{ 'a'.center(1000000000) }}"), HasSubstr("too much text"));
  EXPECT_THAT(template_failure("{{ '%1000000000d' % 1 }}"), HasSubstr("width above"));
  EXPECT_THAT(template_failure("{{ '{:1000000000}'.format(1) }}"), HasSubstr("width above"));
  EXPECT_THAT(template_failure("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
              HasSubstr("too deeply"));
  EXPECT_THAT(
      template_failure("{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ m() }}{% endcall %}"),
      HasSubstr("no function"));
  EXPECT_THAT(template_failure("{{ 1 // 0 }}"), HasSubstr("division by zero"));
  EXPECT_THAT(template_failure(std::string(2 << 20, 'a')), HasSubstr("more than a megabyte"));
}

// A namespace that holds itself is neither printed for ever nor leaked.
TEST(Jinja, SelfHoldingNamespaceEnds) {
  EXPECT_THAT(template_failure("{% set n = namespace() %}{% set n.n = n %}{{ n }}"), HasSubstr("too deeply"));
  EXPECT_EQ(render("{% set n = namespace() %}{% set n.n = n %}{{ n.n.n is defined }}"), "True");
}

}  // namespace
}  // namespace uhd

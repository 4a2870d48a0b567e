#include "app/load_report.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <sstream>

#include "app/chart.h"
#include "base/error.h"

namespace uhd {
namespace {

namespace json = boost::json;

std::string fixed_text(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

double share_at(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

json::object milliseconds_of(const LoadSpread& s) {
  return {{"mean_ms", s.mean * 1e3}, {"p50_ms", s.p50 * 1e3}, {"p90_ms", s.p90 * 1e3},
          {"p95_ms", s.p95 * 1e3},   {"p99_ms", s.p99 * 1e3}, {"max_ms", s.most * 1e3}};
}

json::object counts_of(const std::map<std::string, int>& errors) {
  json::object counts;
  for (const auto& [kind, count] : errors) counts[kind] = count;
  return counts;
}

void add_spread(std::ostringstream& text, const std::string& name, const LoadSpread& s) {
  text << name << std::string(26 - name.size(), ' ');
  for (const double value : {s.mean, s.p50, s.p90, s.p95, s.p99, s.most}) {
    char cell[24];
    std::snprintf(cell, sizeof(cell), "%10.1f", value * 1e3);
    text << cell;
  }
  text << '\n';
}

// The share of values up to each value.
ChartLine distribution(const std::string& name, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  ChartLine line{name, {}};
  const size_t step = std::max<size_t>(1, values.size() / 400);
  for (size_t i = 0; i < values.size(); i += step) {
    line.points.emplace_back(values[i] * 1e3,
                             100.0 * static_cast<double>(i + 1) / static_cast<double>(values.size()));
  }
  return line;
}

json::value objective_of(double seconds) {
  return std::isfinite(seconds) ? json::value(seconds * 1e3) : json::value(nullptr);
}

// A text as one field.
std::string csv_field(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  for (size_t at = text.find('"'); at != std::string::npos; at = text.find('"', at + 2))
    text.insert(at, 1, '"');
  return '"' + text + '"';
}

// The time from the first sending to the last end of sessions that are not beside others.
std::pair<double, double> others_of(const LoadRun& run) {
  std::pair<double, double> time(std::numeric_limits<double>::infinity(), 0);
  for (const TurnResult& turn : run.turns) {
    if (turn.beside) continue;
    time.first = std::min(time.first, turn.sent_s);
    time.second = std::max(time.second, turn.done_s);
  }
  return time;
}

// Sums up turns that were sent, and pieces that came, from `begin` to `end`.
BesideSummary beside_within(const LoadRun& run, double begin, double end) {
  BesideSummary summary;
  std::vector<double> first, gaps;
  for (const TurnResult& turn : run.turns) {
    if (!turn.beside) continue;
    double at = turn.first_s;
    for (const double gap : turn.gaps_s) {
      at += gap;
      if (at > begin && at <= end) gaps.push_back(gap);
    }
    if (turn.sent_s < begin || turn.sent_s >= end) continue;
    ++summary.turns;
    if (turn.ok()) first.push_back(turn.first_token_s());
    if (!turn.ok()) ++summary.errors[turn.error];
  }
  summary.first_token_s = spread_of(std::move(first));
  summary.gap_s = spread_of(std::move(gaps));
  return summary;
}

std::vector<BesideSummary> beside_of(const LoadRun& run) {
  if (std::none_of(run.turns.begin(), run.turns.end(), [](const TurnResult& t) { return t.beside; }))
    return {};
  const auto [begin, end] = others_of(run);
  return {beside_within(run, 0, begin), beside_within(run, begin, end)};
}

constexpr const char* kBesideTimes[] = {"before", "among"};

}  // namespace

LoadSpread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {sum / static_cast<double>(values.size()),
          share_at(values, 0.5),
          share_at(values, 0.9),
          share_at(values, 0.95),
          share_at(values, 0.99),
          values.back()};
}

LoadSummary summary_of(const LoadRun& run, const LoadObjective& objective) {
  LoadSummary summary{.seconds = run.seconds};
  std::vector<double> first, token, gaps, total;
  for (const TurnResult& turn : run.turns) {
    if (turn.beside) continue;
    ++summary.turns;
    if (!turn.ok()) {
      ++summary.errors[turn.error];
      continue;
    }
    ++summary.answered;
    summary.prompt_tokens += turn.prompt_tokens;
    summary.answer_tokens += turn.answer_tokens;
    first.push_back(turn.first_token_s());
    total.push_back(turn.total_s());
    if (turn.answer_tokens > 1) token.push_back(turn.token_s());
    gaps.insert(gaps.end(), turn.gaps_s.begin(), turn.gaps_s.end());
    if (turn.first_token_s() <= objective.first_token_s && turn.token_s() <= objective.token_s)
      ++summary.good;
  }
  summary.first_token_s = spread_of(std::move(first));
  summary.token_s = spread_of(std::move(token));
  summary.gap_s = spread_of(std::move(gaps));
  summary.total_s = spread_of(std::move(total));
  summary.beside = beside_of(run);
  if (!summary.beside.empty()) summary.seconds = others_of(run).second - others_of(run).first;
  return summary;
}

std::string load_text(const LoadSummary& s, const LoadObjective& objective) {
  std::ostringstream text;
  text << s.answered << " of " << s.turns << " turns answered in " << fixed_text(s.seconds, 2)
       << " s: " << fixed_text(s.per_second(s.answered), 2) << " a second, "
       << fixed_text(s.per_second(static_cast<double>(s.answer_tokens)), 1) << " tokens/s out, "
       << fixed_text(s.per_second(static_cast<double>(s.prompt_tokens)), 1) << " in\n";
  if (std::isfinite(objective.first_token_s) || std::isfinite(objective.token_s)) {
    text << "goodput: " << s.good << " turns, " << fixed_text(s.per_second(s.good), 2) << " a second";
    if (std::isfinite(objective.first_token_s))
      text << ", first token within " << fixed_text(objective.first_token_s * 1e3, 0) << " ms";
    if (std::isfinite(objective.token_s))
      text << ", a token within " << fixed_text(objective.token_s * 1e3, 1) << " ms";
    text << '\n';
  }
  text << "ms                              mean       p50       p90       p95       p99       max\n";
  add_spread(text, "to the first token", s.first_token_s);
  add_spread(text, "a token after it", s.token_s);
  add_spread(text, "gaps between pieces", s.gap_s);
  add_spread(text, "whole answers", s.total_s);
  for (const auto& [kind, count] : s.errors) text << "error " << kind << ": " << count << '\n';
  for (size_t i = 0; i < s.beside.size(); ++i) {
    const BesideSummary& beside = s.beside[i];
    text << "sessions beside, " << kBesideTimes[i] << " these: " << beside.turns << " turns\n";
    add_spread(text, "to the first token", beside.first_token_s);
    add_spread(text, "gaps between pieces", beside.gap_s);
    for (const auto& [kind, count] : beside.errors) text << "error " << kind << ": " << count << '\n';
  }
  return text.str();
}

std::string load_json(const LoadSummary& s, const LoadObjective& objective) {
  json::object report{{"seconds", s.seconds},
                      {"turns", s.turns},
                      {"answered", s.answered},
                      {"answered_per_s", s.per_second(s.answered)},
                      {"prompt_tokens", s.prompt_tokens},
                      {"answer_tokens", s.answer_tokens},
                      {"answer_tokens_per_s", s.per_second(static_cast<double>(s.answer_tokens))},
                      {"prompt_tokens_per_s", s.per_second(static_cast<double>(s.prompt_tokens))},
                      {"objective_first_token_ms", objective_of(objective.first_token_s)},
                      {"objective_token_ms", objective_of(objective.token_s)},
                      {"good", s.good},
                      {"good_per_s", s.per_second(s.good)},
                      {"first_token", milliseconds_of(s.first_token_s)},
                      {"token", milliseconds_of(s.token_s)},
                      {"gap", milliseconds_of(s.gap_s)},
                      {"total", milliseconds_of(s.total_s)},
                      {"errors", counts_of(s.errors)}};
  for (size_t i = 0; i < s.beside.size(); ++i) {
    report[std::string("beside_") + kBesideTimes[i]] =
        json::object{{"turns", s.beside[i].turns},
                     {"first_token", milliseconds_of(s.beside[i].first_token_s)},
                     {"gap", milliseconds_of(s.beside[i].gap_s)},
                     {"errors", counts_of(s.beside[i].errors)}};
  }
  return json::serialize(report);
}

std::string load_csv(const LoadRun& run) {
  std::ostringstream csv;
  csv << "session,turn,pictures,sent_s,first_token_s,token_s,total_s,prompt_tokens,cached_tokens,"
         "answer_tokens,beside,error,detail\n";
  for (const TurnResult& t : run.turns) {
    csv << t.session << ',' << t.turn << ',' << t.pictures << ',' << fixed_text(t.sent_s, 6) << ','
        << (t.ok() ? fixed_text(t.first_token_s(), 6) : "") << ','
        << (t.ok() ? fixed_text(t.token_s(), 6) : "") << ',' << fixed_text(t.total_s(), 6) << ','
        << t.prompt_tokens << ',' << t.cached_tokens << ',' << t.answer_tokens << ',' << t.beside << ','
        << csv_field(t.error) << ',' << csv_field(t.detail) << '\n';
  }
  return csv.str();
}

std::string load_picture(const LoadRun& run) {
  std::vector<double> first, total, gaps;
  ChartLine sent{"first token", {}}, ended{"whole answer", {}};
  std::vector<TurnResult> turns = run.turns;
  std::sort(turns.begin(), turns.end(),
            [](const TurnResult& a, const TurnResult& b) { return a.sent_s < b.sent_s; });
  for (const TurnResult& turn : turns) {
    if (!turn.ok() || turn.beside) continue;
    first.push_back(turn.first_token_s());
    total.push_back(turn.total_s());
    gaps.insert(gaps.end(), turn.gaps_s.begin(), turn.gaps_s.end());
    sent.points.emplace_back(turn.sent_s, turn.first_token_s());
    ended.points.emplace_back(turn.sent_s, turn.total_s());
  }
  return draw_charts(
      {{"Answers: share that took at most",
        "ms",
        "% of turns",
        true,
        false,
        {distribution("first token", first), distribution("whole answer", total)}},
       {"Gaps between pieces: share of at most", "ms", "% of gaps", true, false, {distribution("gap", gaps)}},
       {"Over the run", "sent at, s", "s", false, false, {sent, ended}}},
      2);
}

}  // namespace uhd

# Reference figures of pROC and metafor for make_golden.py, which calls this with a folder of CSV files.
# Deliberately no computation of our own: only calls of the two packages.
suppressMessages({library(pROC); library(metafor)})
options(digits = 17)
folder <- commandArgs(trailingOnly = TRUE)[1]
path <- function(name) file.path(folder, name)
out <- list()
put <- function(key, values) out[[length(out) + 1]] <<- data.frame(
  key = key, value = sprintf("%.17g", as.numeric(values)), place = seq_along(values))

for (file in list.files(folder, pattern = "^scores-.*csv$")) {
  rows <- read.csv(path(file))
  name <- sub("^scores-(.*)[.]csv$", "\\1", file)
  curve <- roc(rows$y, rows$score, direction = "<", levels = c(0, 1), quiet = TRUE)
  put(paste0("auc/", name), as.numeric(auc(curve)))
  put(paste0("delong/", name), var(curve, method = "delong"))
}
for (file in list.files(folder, pattern = "^paired-.*csv$")) {
  rows <- read.csv(path(file))
  name <- sub("^paired-(.*)[.]csv$", "\\1", file)
  a <- roc(rows$y, rows$first, direction = "<", levels = c(0, 1), quiet = TRUE)
  b <- roc(rows$y, rows$second, direction = "<", levels = c(0, 1), quiet = TRUE)
  test <- roc.test(a, b, method = "delong", paired = TRUE)
  put(paste0("paired-covariance/", name), cov(a, b, method = "delong"))
  put(paste0("paired-variance/", name), var(a, method = "delong") + var(b, method = "delong")
      - 2 * cov(a, b, method = "delong"))
  put(paste0("paired-p/", name), test$p.value)
}
for (file in list.files(folder, pattern = "^effects-.*csv$")) {
  sites <- read.csv(path(file))
  name <- sub("^effects-(.*)[.]csv$", "\\1", file)
  for (method in c("DL", "PM")) {
    fit <- rma(yi = sites$estimate, vi = sites$variance, method = method, test = "knha",
               control = list(tol = 1e-14, maxiter = 10000, tau2.max = 1000))
    key <- paste0(name, "/", method)
    put(paste0("meta/", key), c(fit$beta, fit$se, fit$tau2, fit$QE, fit$QEp, fit$ci.lb, fit$ci.ub))
    put(paste0("weights/", key), weights(fit) / 100)
  }
}
put("versions", c(0))
out[[length(out)]]$value <- paste("R", getRversion(), "pROC", packageVersion("pROC"), "metafor", packageVersion("metafor"))
write.csv(do.call(rbind, out), path("reference.csv"), row.names = FALSE)

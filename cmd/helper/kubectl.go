package helper

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credhelper"
)

type kubectlOptions struct {
	Servers []string `flag:"server" empty:"refused" help:"print tokens only for the cluster at this {URL}; repeatable"`
	tokenFlag
}

func newHelperKubectlCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "kubectl [PROFILE]",
		Short: "Print a token for kubectl",
		Long: `Print an ExecCredential (client.authentication.k8s.io/v1 or v1beta1) for kubectl and
other programs that read a kubeconfig. Configure it there:

  users:
  - name: work
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: fob
        args: [helper, kubectl, work, --server, https://k8s.example.com:6443]
        provideClusterInfo: true
        interactiveMode: Never

The token is the id_token, for clusters that trust the issuer; --token access prints
the access token. With --server, or kubernetes_servers in config.toml, only these
clusters get it, and kubectl must name the cluster and verify its certificate.`,
		Example: `  fob helper kubectl work
  fob helper kubectl work --token access --server https://k8s.example.com:6443
  fob profile set work --kubernetes-server https://k8s.example.com:6443`,
		Args: usage.AtMostProfile,
	}, kubectlOptions{tokenFlag: tokenFlag{tokenID}}, runHelperKubectl, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runHelperKubectl(ctx context.Context, a *app.App, args []string, opts kubectlOptions) error {
	asked, err := credhelper.ReadExecInfo(a.Getenv(credhelper.ExecInfo))
	if err != nil {
		return inputHint(err, "kubectl")
	}
	p, err := a.Profile(args)
	if err != nil {
		return err
	}
	if err := checkCluster(asked, p, opts.Servers); err != nil {
		return err
	}
	c, err := credential(ctx, a, p, opts.Token)
	if err != nil {
		return err
	}
	return asked.WriteKubectl(a.Out.Raw(), c)
}

// checkCluster rejects a cluster that is not among those of the profile, or not among those
// of the flag: a kubeconfig may come from anyone.
func checkCluster(asked *credhelper.KubectlRequest, p config.Profile, servers []string) error {
	cluster, err := usage.URLPlace(asked.Server)
	if asked.Server != "" && err != nil {
		return cli.WithHint(cli.Usagef("the cluster: %s", err), usage.HintHost)
	}
	for _, allowed := range [][]string{p.KubernetesServers, servers} {
		if len(allowed) == 0 {
			continue
		}
		rules := make([]credhelper.Rule, len(allowed))
		for i, server := range allowed {
			if rules[i].Place, err = usage.URLPlace(server); err != nil {
				return cli.WithHint(cli.Usagef("kubernetes_servers: %s", err), usage.HintHost)
			}
		}
		switch {
		case asked.Server == "":
			return cli.WithHint(errors.New("kubectl did not name the cluster"), "set provideClusterInfo: true in the kubeconfig, next to 'command'")
		case len(credhelper.Choose(rules, cluster, "")) == 0:
			return cli.WithHint(errors.New("the token of profile "+p.Name+" is not for "+cluster.String()), "check --server in the kubeconfig, and 'fob profile show %s'", p.Name)
		case asked.Unverified:
			return cli.WithHint(errors.New("kubectl does not verify the certificate of "+cluster.String()), "set certificate-authority in the kubeconfig instead of insecure-skip-tls-verify")
		}
	}
	return nil
}
